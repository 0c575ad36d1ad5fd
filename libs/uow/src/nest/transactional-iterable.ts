import { currentFrame, runInFrame } from '../transaction/ambient.js';
import { HeldScope, ScopeAbandoned } from './held-scope.js';
import type { RunScope } from './held-scope.js';

/**
 * An async iterable whose iterations are transactions: reaching the end commits; an error, or leaving the loop
 * early (`return()`), rolls back. Each step runs inside the scope, the body of the loop outside.
 *
 * @param run opens a scope
 * @param source iterated once per iteration
 * @param first gives the scope that is open already to the first iteration
 */
export function transactionalIterable(
  run: RunScope,
  source: () => AsyncIterable<unknown>,
  first: () => HeldScope | null = () => null,
): AsyncGenerator {
  const iterate = (): AsyncGenerator => new TransactionalIteration(run, source, first);
  // The object that an async generator returns is its own iterator.
  let own: AsyncGenerator | null = null;
  const itself = (): AsyncGenerator => (own ??= iterate());
  return {
    [Symbol.asyncIterator]: () => {
      if (own !== null) return iterate();
      return itself();
    },
    next: (...args) => itself().next(...args),
    return: (value: unknown) => itself().return(value),
    throw: (error: unknown) => itself().throw(error),
    [Symbol.asyncDispose]: async () => {
      await itself().return(undefined);
    },
  };
}

class TransactionalIteration implements AsyncGenerator {
  readonly #run: RunScope;
  readonly #source: () => AsyncIterable<unknown>;
  readonly #first: () => HeldScope | null;
  #started: { held: HeldScope; iterator: Promise<AsyncIterator<unknown>> } | null = null;
  #ended = false;

  constructor(run: RunScope, source: () => AsyncIterable<unknown>, first: () => HeldScope | null) {
    this.#run = run;
    this.#source = source;
    this.#first = first;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(...args: [] | [unknown]): Promise<IteratorResult<unknown>> {
    return await this.#step((iterator) => iterator.next(...args));
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    if (this.#ended || this.#started === null) {
      this.#ended = true;
      return { done: true, value };
    }
    this.#ended = true;
    const { held, iterator } = this.#started;
    try {
      const source = await iterator;
      await held.run(async () => await source.return?.(value));
      return { done: true, value };
    } finally {
      held.fail(new ScopeAbandoned('The iteration was left before its end'));
      await held.done.catch((error: unknown) => {
        if (!(error instanceof ScopeAbandoned)) throw error;
      });
    }
  }

  async throw(error: unknown): Promise<IteratorResult<unknown>> {
    return await this.#step((iterator) => {
      if (iterator.throw !== undefined) return iterator.throw(error);
      throw error;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  async #step(
    move: (iterator: AsyncIterator<unknown>) => Promise<IteratorResult<unknown>>,
  ): Promise<IteratorResult<unknown>> {
    if (this.#ended) return { done: true, value: undefined };
    const { held, iterator } = (this.#started ??= this.#start());
    let result: IteratorResult<unknown>;
    try {
      const source = await iterator;
      result = await held.run(async () => await move(source));
    } catch (error) {
      this.#ended = true;
      held.fail(error);
      // The scope's own error tells more where it differs, such as a failed transaction.
      await held.done;
      throw error;
    }
    if (result.done === true) {
      this.#ended = true;
      held.succeed();
      await held.done;
    }
    return result;
  }

  #start(): { held: HeldScope; iterator: Promise<AsyncIterator<unknown>> } {
    const outside = currentFrame();
    const held = this.#first() ?? new HeldScope(this.#run);
    const iterator = new Promise<AsyncIterator<unknown>>((resolve, reject) => {
      held.done.catch(reject);
      held.whenOpen(() => {
        const source = this.#source()[Symbol.asyncIterator]();
        runInFrame(outside, () => {
          resolve(source);
        });
      });
    });
    return { held, iterator };
  }
}
