import { Observable } from 'rxjs';
import type { Subscribable, Unsubscribable } from 'rxjs';
import { currentFrame, runInFrame } from '../transaction/ambient.js';
import { HeldScope, ScopeAbandoned } from './held-scope.js';
import type { RunScope } from './held-scope.js';

/**
 * An Observable whose subscriptions are transactions: complete commits, an error or unsubscribing rolls back.
 * The source runs inside its scope; what the subscriber does with a value runs where it subscribed, so the
 * transaction never leaks into it.
 *
 * @param run opens a scope
 * @param source subscribed to once per subscription, and once more per retry
 * @param retries whether the scope may be run again after an error; it must not be once a value was emitted
 * @param first gives the scope that is open already to the first subscriber
 */
export function transactionalObservable(
  run: RunScope,
  source: () => Subscribable<unknown>,
  retries: boolean,
  first: () => HeldScope | null = () => null,
): Observable<unknown> {
  return new Observable((subscriber) => {
    const outside = currentFrame();
    const held = first() ?? new HeldScope(run);
    let inner: Unsubscribable | undefined;
    let emitted = false;
    let left = false;
    held.done.then(
      () => {
        runInFrame(outside, () => {
          subscriber.complete();
        });
      },
      (error: unknown) => {
        runInFrame(outside, () => {
          subscriber.error(error instanceof AfterFirstValue ? error.cause : error);
        });
      },
    );
    held.whenOpen(() => {
      if (left) return;
      inner = source().subscribe({
        next: (value) => {
          emitted = true;
          runInFrame(outside, () => {
            subscriber.next(value);
          });
        },
        error: (error: unknown) => {
          held.fail(emitted && retries ? new AfterFirstValue(error) : error);
        },
        complete: () => {
          held.succeed();
        },
      });
      if (left) inner.unsubscribe();
    });
    return () => {
      left = true;
      inner?.unsubscribe();
      if (!held.settled) held.fail(new ScopeAbandoned('The subscriber unsubscribed before the end'));
    };
  });
}

/** Values that were emitted cannot be taken back, so such an error must not lead to another attempt. */
class AfterFirstValue extends Error {
  constructor(override readonly cause: unknown) {
    super('An error after the first value');
  }
}
