// One point of one curve, in a process of its own.
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DbSession, Transactional, UowModule } from 'nestjs-uow';
import { LessThanOrEqual } from 'typeorm';
import { accounts } from '../bank/bank-schema.js';
import { Account, bankEntities, Measurement, Parent } from '../bank/bank.entities.js';
import type { Measure } from './curves.js';
import { copyRows, measurementRows } from './measurement-rows.js';

export interface PointResult {
  readonly ms: number;
  readonly peakMiB: number;
}

const [url, curve, size] = process.argv.slice(2) as [string, Measure, string];

@Injectable()
class Growth {
  constructor(readonly session: DbSession) {}

  @Transactional()
  async insert(rows: number): Promise<void> {
    for (let i = 0; i < rows; i++) this.session.add(Object.assign(new Parent(), { name: `parent ${i}` }));
  }

  /** Loads, and flushes what has not changed; only the flush counts. */
  @Transactional()
  async flushClean(rows: number): Promise<number> {
    await this.session.find(Parent, { where: { id: LessThanOrEqual(rows) } });
    const start = performance.now();
    await this.session.flush();
    return performance.now() - start;
  }

  @Transactional()
  async bulkInsert(rows: readonly Measurement[]): Promise<void> {
    await this.session.bulkInsert(Measurement, rows);
  }

  @Transactional({ readOnly: true })
  async stream(rows: number): Promise<void> {
    let seen = 0;
    for await (const _ of this.session.stream(Parent, { where: { id: LessThanOrEqual(rows) } })) seen += 1;
    if (seen !== rows) throw new Error(`${seen} of ${rows} rows came`);
  }

  @Transactional({ propagation: 'NESTED' })
  async nest(depth: number): Promise<void> {
    this.session.add(Object.assign(new Parent(), { name: `depth ${depth}` }));
    if (depth > 1) await this.nest(depth - 1);
  }

  @Transactional()
  async transfer(source: number, target: number): Promise<void> {
    const [from, to] = await this.session.getManyOrFail(Account, [source, target], { lock: 'update' });
    from.balance -= 1;
    to.balance += 1;
  }
}

@Module({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 16, entities: bankEntities }),
    UowModule.forRoot(),
  ],
  providers: [Growth],
})
class GrowthModule {}

const app = await NestFactory.createApplicationContext(GrowthModule, { logger: false });
const growth = app.get(Growth);

const measurements = curve === 'bulk' || curve === 'copy' ? measurementRows(Number(size)) : [];

/** Milliseconds of what counts. */
async function run(n: number): Promise<number> {
  const start = performance.now();
  switch (curve) {
    case 'rows':
      await growth.insert(n);
      break;
    case 'identity map':
      return await growth.flushClean(n);
    case 'bulk':
      await growth.bulkInsert(measurements);
      break;
    case 'copy':
      await copyRows(url, measurements);
      break;
    case 'stream':
      await growth.stream(n);
      break;
    case 'depth':
      await growth.nest(n);
      break;
    case 'concurrency': {
      let turn = 0;
      const lane = async (): Promise<void> => {
        while (turn < 2_000) {
          turn += 1;
          await growth.transfer((turn % accounts) + 1, ((turn + 501) % accounts) + 1);
        }
      };
      await Promise.all(Array.from({ length: n }, lane));
      break;
    }
  }
  return performance.now() - start;
}

if (measurements.length === 0) await run(Math.min(Number(size), 100));
globalThis.gc?.();
const rss = process.memoryUsage.rss();
const ms = await run(Number(size));
const peakMiB = Math.max(0, process.resourceUsage().maxRSS / 1024 - rss / 1024 / 1024);
process.send!({ ms, peakMiB } satisfies PointResult);
process.on('disconnect', () => {
  process.exit();
});
