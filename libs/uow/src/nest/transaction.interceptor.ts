import { Inject, Injectable } from '@nestjs/common';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { Observable } from 'rxjs';
import { AfterCommitError } from '../errors/transaction-errors.js';
import type { AmbientUnit } from '../transaction/ambient-unit.js';
import type { TransactionOptions } from '../transaction/transaction-definition.js';
import type { RunScope } from './held-scope.js';
import { runningUnit } from './running-unit.js';
import { openForHandler, transactionalMethod } from './transactional-method.js';
import { transactionalObservable } from './transactional-observable.js';
import { hasUncommittedWork, refuseUncommitted } from './uncommitted-work.js';
import { UowApplication } from './uow-application.js';

/**
 * Stands around handlers where the module alone cannot: it opens the context of messages, gateway events and
 * GraphQL operations that have none yet, refuses to acknowledge uncommitted work, and runs each call in a
 * transaction where `transactionPerRequest` says so, which is committed before the answer is sent. An
 * `AfterCommitError` is logged, and the success answered.
 *
 * `UowModule` registers it globally where an application needs it. The microservices of a hybrid application
 * have to inherit its configuration (`connectMicroservice(…, { inheritAppConfig: true })`), or their
 * controllers say `@UseInterceptors(TransactionInterceptor)`.
 */
@Injectable()
export class TransactionInterceptor implements NestInterceptor {
  readonly #application: UowApplication;
  /** How many handlers of a unit run now: parallel GraphQL fields share one. */
  readonly #running = new WeakMap<AmbientUnit, number>();

  constructor(@Inject(UowApplication) application: UowApplication) {
    this.#application = application;
  }

  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { manager, units } = this.#application;
    const method = transactionalMethod(execution.getHandler());
    const perRequest = this.#perRequest();
    const isHttp = execution.getType<string>() === 'http';
    const known = runningUnit(manager) ?? units.find(requestOf(execution));
    // The guard of the adapter's replies checks what HTTP handlers leave open.
    if (isHttp && known !== undefined && perRequest === null && method === undefined) {
      return next.handle();
    }
    const label = `${execution.getClass().name}.${execution.getHandler().name}`;
    const prepared = units.takePrepared(requestOf(execution));
    const owned = known === undefined || prepared === known;
    const unit = known ?? manager.openUnit(label);
    const source = this.#answer(execution, next, perRequest, label);
    return new Observable((subscriber) => {
      this.#running.set(unit, (this.#running.get(unit) ?? 0) + 1);
      let ended = false;
      const end = (): number => {
        if (ended) return 0;
        ended = true;
        const left = (this.#running.get(unit) ?? 1) - 1;
        this.#running.set(unit, left);
        if (owned) units.release(unit);
        return left;
      };
      // A last value is held back until it is known whether its handler left something open.
      let held: { value: unknown } | null = null;
      const emitHeld = (): void => {
        if (held === null) return;
        const { value } = held;
        held = null;
        subscriber.next(value);
      };
      const subscription = unit.run(() =>
        source().subscribe({
          next: (value) => {
            emitHeld();
            held = { value };
            queueMicrotask(emitHeld);
          },
          error: (error: unknown) => {
            emitHeld();
            end();
            subscriber.error(error);
          },
          complete: () => {
            const others = (this.#running.get(unit) ?? 1) - 1;
            if (others > 0 || !hasUncommittedWork(unit)) {
              emitHeld();
              end();
              subscriber.complete();
              return;
            }
            const last = held;
            held = null;
            void refuseUncommitted(unit, label, this.#application.report).then((refusal) => {
              end();
              if (refusal !== null) {
                subscriber.error(refusal);
                return;
              }
              if (last !== null) subscriber.next(last.value);
              subscriber.complete();
            });
          },
        }),
      );
      return () => {
        subscription.unsubscribe();
        end();
      };
    });
  }

  #perRequest(): TransactionOptions | null {
    for (const { name, options } of this.#application.served) {
      if (options.transactionPerRequest !== null) {
        return { ...options.transactionPerRequest, dataSource: name };
      }
    }
    return null;
  }

  #answer(
    execution: ExecutionContext,
    next: CallHandler,
    perRequest: TransactionOptions | null,
    label: string,
  ): () => Observable<unknown> {
    const { manager, report } = this.#application;
    const handler = execution.getHandler();
    const method = transactionalMethod(handler);
    if (perRequest === null) {
      return method === undefined ? () => next.handle() : () => forgiveAfterCommit(next.handle(), report);
    }
    const options: TransactionOptions = { ...perRequest, label, ...method?.options };
    const run: RunScope = (fn) => manager.run(options, fn);
    const source = (): Observable<unknown> => {
      openForHandler(manager, handler);
      return next.handle();
    };
    return () => forgiveAfterCommit(transactionalObservable(run, source, options.retry !== undefined), report);
  }
}

/** The work is committed: whoever called gets the success, and the log the failure of the hook. */
function forgiveAfterCommit(source: Observable<unknown>, report: UowApplication['report']): Observable<unknown> {
  return new Observable((subscriber) => {
    let emitted = false;
    return source.subscribe({
      next: (value) => {
        emitted = true;
        subscriber.next(value);
      },
      error: (error: unknown) => {
        if (!(error instanceof AfterCommitError)) {
          subscriber.error(error);
          return;
        }
        report({ code: 'UOW_WARN_AFTER_COMMIT', message: error.message, error });
        if (!emitted) subscriber.next(error.result);
        subscriber.complete();
      },
      complete: () => {
        subscriber.complete();
      },
    });
  });
}

/** What stands for the request in Nest's own request scope, and in this library's map of units. */
function requestOf(execution: ExecutionContext): unknown {
  switch (execution.getType<string>()) {
    case 'http':
      return execution.switchToHttp().getRequest<unknown>();
    case 'rpc':
      return execution.switchToRpc().getContext<unknown>();
    case 'graphql':
      // Arguments of a resolver: parent, args, context, info.
      return execution.getArgByIndex<unknown>(2);
    default:
      return undefined;
  }
}
