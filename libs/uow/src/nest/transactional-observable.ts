import { Observable } from 'rxjs';
import type { Subscribable, Unsubscribable } from 'rxjs';
import { AfterCommitError } from '../errors/transaction-errors.js';
import { currentFrame, runInFrame } from '../transaction/ambient.js';
import { HeldScope, ScopeAbandoned } from './held-scope.js';
import type { RunScope } from './held-scope.js';

/**
 * An Observable whose subscriptions are transactions: complete commits, an error or unsubscribing rolls back.
 * The source runs inside its scope; what the subscriber does with a value runs where it subscribed, so the
 * transaction never leaks into it.
 *
 * A last value that comes together with the completion, as of a promise, is passed on after the COMMIT: so
 * `firstValueFrom()` and `take(1)` get it when it is true, and do not roll it back by unsubscribing.
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
    const scope = first() ?? new HeldScope(run);
    let inner: Unsubscribable | undefined;
    let waiting: { readonly value: unknown } | null = null;
    let emitted = false;
    let completed = false;
    let left = false;
    const emit = (): void => {
      if (waiting === null) return;
      const { value } = waiting;
      waiting = null;
      emitted = true;
      runInFrame(outside, () => {
        subscriber.next(value);
      });
    };
    scope.done.then(
      () => {
        emit();
        runInFrame(outside, () => {
          subscriber.complete();
        });
      },
      (error: unknown) => {
        // What it told of is stored.
        if (error instanceof AfterCommitError) emit();
        runInFrame(outside, () => {
          subscriber.error(error instanceof AfterFirstValue ? error.failure : error);
        });
      },
    );
    scope.whenOpen(() => {
      if (left) return;
      inner = source().subscribe({
        next: (value) => {
          emit();
          waiting = { value };
          queueMicrotask(() => {
            if (!completed) emit();
          });
        },
        error: (error: unknown) => {
          emit();
          scope.fail(emitted && retries ? new AfterFirstValue(error) : error);
        },
        complete: () => {
          completed = true;
          scope.succeed();
        },
      });
      // It may have gone while the source was being subscribed to.
      if (subscriber.closed) inner.unsubscribe();
    });
    return () => {
      left = true;
      inner?.unsubscribe();
      if (!scope.settled) scope.fail(new ScopeAbandoned('The subscriber unsubscribed before the end'));
    };
  });
}

/**
 * Values that were emitted cannot be taken back, so such an error must not lead to another attempt. The error
 * is not its cause, which would be looked at.
 */
class AfterFirstValue extends Error {
  constructor(readonly failure: unknown) {
    super('An error after the first value');
  }
}
