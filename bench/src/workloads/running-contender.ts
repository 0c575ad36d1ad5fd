import type { Contender } from '../contenders/contenders.js';
import type { BenchContender } from '../contenders/contender.js';
import { ContenderProcess } from '../process/contender-process.js';
import type { BenchMessage, Job, JobResult } from './job.js';

const patience = 60_000;

/** A contender that is ready for jobs, in a process of its own. */
export class RunningContender implements AsyncDisposable {
  private constructor(
    readonly name: Contender,
    readonly process: ContenderProcess<BenchMessage>,
    readonly offers: ReadonlySet<keyof BenchContender>,
  ) {}

  static async start(name: Contender, url: string, poolSize = 16): Promise<RunningContender> {
    const process = new ContenderProcess<BenchMessage>(
      new URL('./bench-process.js', import.meta.url),
      [name, url, String(poolSize)],
      ['--expose-gc'],
    );
    const first = await process.next(patience);
    if (first.kind === 'message' && 'opened' in first.message) {
      return new RunningContender(name, process, new Set(first.message.opened));
    }
    await process.end();
    throw new Error(`${name} did not start: ${process.errors}`);
  }

  /** @throws Error when it fails, ends, or takes more than a minute */
  async run(job: Job): Promise<JobResult> {
    this.process.send(job);
    const answer = await this.process.next(patience);
    if (answer.kind === 'message' && 'result' in answer.message) return answer.message.result;
    const reason = answer.kind === 'message' && 'failed' in answer.message ? answer.message.failed : answer.kind;
    throw new Error(`${this.name}: ${reason} ${this.process.errors}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.end();
  }
}
