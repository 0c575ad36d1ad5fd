import { In, type EntityManager } from 'typeorm';
import { Account, Posting, Transfer } from '../bank/bank.entities.js';

/** The transfer as TypeORM's users write it, for the three contenders that use its repositories. */
export async function transferByTypeorm(
  manager: EntityManager,
  source: number,
  target: number,
  amount: number,
): Promise<void> {
  const accounts = await manager.getRepository(Account).find({
    where: { id: In([source, target]) },
    order: { id: 'ASC' },
    lock: { mode: 'pessimistic_write' },
  });
  const from = accounts.find(({ id }) => id === source);
  const to = accounts.find(({ id }) => id === target);
  if (from === undefined || to === undefined) throw new Error('No such account');
  if (from.balance < amount) throw new Error('Insufficient funds');
  from.balance -= amount;
  to.balance += amount;
  await manager.getRepository(Account).save([from, to]);
  const transfer = await manager.getRepository(Transfer).save({ source: from, target: to, amount });
  await manager.getRepository(Posting).save([
    { transfer, account: from, amount: -amount },
    { transfer, account: to, amount },
  ]);
}
