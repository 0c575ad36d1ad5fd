// What a user writes, in the user's own project. Compiled there as an ES module (story.mts) and as CommonJS (story.cts).
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DbSession, Transactional, UowModule } from 'nestjs-uow';
import { Column, DataSource, Entity, PrimaryColumn } from 'typeorm';

@Entity()
class Account {
  @PrimaryColumn()
  id!: string;

  @Column()
  balance!: number;
}

@Injectable()
class Bank {
  constructor(private readonly session: DbSession) {}

  @Transactional()
  async open(id: string, balance: number): Promise<void> {
    this.session.add(Object.assign(new Account(), { id, balance }));
  }

  @Transactional()
  async transfer(from: string, to: string, amount: number): Promise<void> {
    const [source, target] = await this.session.getManyOrFail(Account, [from, to], { lock: 'update' });
    target.balance += amount;
    await this.session.flush();
    source.balance -= amount;
    if (source.balance < 0) throw new Error('insufficient funds');
  }
}

@Module({
  imports: [
    TypeOrmModule.forRoot({
      type: 'postgres',
      url: process.env['DATABASE_URL']!,
      entities: [Account],
      synchronize: true,
      dropSchema: true,
    }),
    UowModule.forRoot(),
  ],
  providers: [Bank],
})
class BankModule {}

/** Two accounts, a transfer that holds and one that leaves no trace. */
export async function story(): Promise<unknown> {
  const app = await NestFactory.createApplicationContext(BankModule, { logger: ['error', 'warn'] });
  try {
    const bank = app.get(Bank);
    await bank.open('alice', 100);
    await bank.open('bob', 0);
    await bank.transfer('alice', 'bob', 60);
    const refusal = await bank.transfer('alice', 'bob', 60).catch((error: unknown) => (error as Error).message);
    const balances: unknown = await app.get(DataSource).query('SELECT id, balance FROM account ORDER BY id');
    return { refusal, balances };
  } finally {
    await app.close();
  }
}
