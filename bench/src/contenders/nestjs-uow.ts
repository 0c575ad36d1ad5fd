import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DbSession, Transactional, UowModule } from 'nestjs-uow';
import { LessThanOrEqual } from 'typeorm';
import { Account, bankEntities, Child, Measurement, Parent, Posting, Transfer } from '../bank/bank.entities.js';
import type { BenchAddress, BenchContender, Find, HttpParts, TransferDesk } from './contender.js';
import { findInTurn } from './find-in-turn.js';

@Injectable()
class Desk implements TransferDesk {
  constructor(readonly session: DbSession) {}

  @Transactional()
  async transfer(source: number, target: number, amount: number): Promise<void> {
    const [from, to] = await this.session.getManyOrFail(Account, [source, target], { lock: 'update' });
    if (from.balance < amount) throw new Error('Insufficient funds');
    from.balance -= amount;
    to.balance += amount;
    const transfer = Object.assign(new Transfer(), { source: from, target: to, amount });
    transfer.postings = [
      Object.assign(new Posting(), { account: from, amount: -amount }),
      Object.assign(new Posting(), { account: to, amount }),
    ];
    this.session.add(transfer);
  }

  @Transactional()
  async nothing(): Promise<void> {}

  @Transactional()
  async joinedCalls(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.nothing();
  }

  @Transactional()
  async insertFamilies(parents: number, children: number): Promise<void> {
    for (let i = 0; i < parents; i++) {
      const parent = new Parent();
      parent.name = `parent ${i}`;
      parent.children = Array.from({ length: children }, (_, position) =>
        Object.assign(new Child(), { position, label: `child ${position}` }),
      );
      this.session.add(parent);
    }
  }

  @Transactional()
  async changeMeasurements(count: number): Promise<void> {
    const rows = await this.session.find(Measurement, { where: { id: LessThanOrEqual(count) } });
    for (const row of rows) row.quantity += 1;
  }

  @Transactional()
  async loadMeasurements(count: number): Promise<Measurement[]> {
    return await this.session.find(Measurement, { where: { id: LessThanOrEqual(count) }, order: { id: 'ASC' } });
  }

  @Transactional({ readOnly: true })
  async loadMeasurementsReadOnly(count: number): Promise<Measurement[]> {
    return await this.session.find(Measurement, { where: { id: LessThanOrEqual(count) }, order: { id: 'ASC' } });
  }

  @Transactional()
  async loadFamilies(): Promise<Parent[]> {
    return await this.session.find(Parent, { relations: { children: true } });
  }

  @Transactional()
  async findAccounts<T>(work: (find: Find) => Promise<T>): Promise<T> {
    return await work(findInTurn((id) => this.session.get(Account, id)));
  }
}

export function httpParts({ url, poolSize }: BenchAddress): HttpParts {
  return {
    imports: [TypeOrmModule.forRoot({ type: 'postgres', url, poolSize, entities: bankEntities }), UowModule.forRoot()],
    desk: Desk,
  };
}

export async function open(address: BenchAddress): Promise<BenchContender> {
  @Module({ imports: httpParts(address).imports, providers: [Desk] })
  class BankModule {}

  const app = await NestFactory.createApplicationContext(BankModule, { logger: false });
  const desk = app.get(Desk);
  return {
    transfer: (source, target, amount) => desk.transfer(source, target, amount),
    emptyTransaction: () => desk.nothing(),
    joinedCalls: (count) => desk.joinedCalls(count),
    insertFamilies: (parents, children) => desk.insertFamilies(parents, children),
    changeMeasurements: (count) => desk.changeMeasurements(count),
    loadMeasurements: (count) => desk.loadMeasurements(count),
    loadMeasurementsReadOnly: (count) => desk.loadMeasurementsReadOnly(count),
    loadFamilies: () => desk.loadFamilies(),
    findAccounts: (work) => desk.findAccounts(work),
    close: () => app.close(),
  };
}
