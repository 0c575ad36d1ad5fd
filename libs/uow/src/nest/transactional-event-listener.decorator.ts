import type { Report } from '../diagnostics/report.js';
import { IllegalTransactionStateError } from '../errors/transaction-errors.js';
import { ambientTransaction, innermostScope } from '../transaction/ambient.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import type { TransactionManager } from '../transaction/transaction-manager.js';
import { declareOwner } from './owning-application.js';
import { applicationOf } from './transactional-call.js';
import { leaveUntransactional, transactionalMethod } from './transactional-method.js';
import type { AnyMethod } from './transactional-method.js';
import { coverDerived } from './transactional.decorator.js';

/** When a listener hears of an event, with regard to the transaction in which it was emitted (Spring's `TransactionPhase`). */
export type TransactionPhase = 'BEFORE_COMMIT' | 'AFTER_COMMIT' | 'AFTER_ROLLBACK' | 'AFTER_COMPLETION';

/** Options of `@TransactionalEventListener()`; those of `@OnEvent()` may stand beside them. */
export interface TransactionalEventListenerOptions {
  /** Default `AFTER_COMMIT`. */
  readonly phase?: TransactionPhase;
  /** True calls the listener at once where no transaction is open; default false: the event is dropped, with a warning. */
  readonly fallbackExecution?: boolean;
  /** Asked when the event is emitted; false drops it. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the payload is whatever is emitted
  readonly condition?: (...payload: any[]) => boolean;
  /** The data source whose transaction counts; default that of the innermost scope. */
  readonly dataSource?: string;
  /** Options of `@OnEvent()`, such as `prependListener`. */
  readonly [option: string]: unknown;
}

/** The key under which `@nestjs/event-emitter` finds listeners; that package is not needed otherwise. */
const EVENT_LISTENER_METADATA = 'EVENT_LISTENER_METADATA';
const BRIDGE_SUFFIX = ' (transactional event listener)';

interface Listener {
  readonly phase: TransactionPhase;
  readonly label: string;
}

const listeners = new WeakMap<object, Map<string | symbol, Listener>>();

/**
 * A listener of `@nestjs/event-emitter` that hears of an event in a phase of the transaction in which it was
 * emitted (Spring's `@TransactionalEventListener`). `BEFORE_COMMIT` runs inside it, and what it throws rolls
 * back; the other phases run after it, with no transaction and a fresh session, and what they throw is
 * reported. Calling the method itself runs it at once.
 *
 * @param event name, or several, as for `@OnEvent()`
 * @param options phase and what happens without a transaction
 *
 * @example
 * \@TransactionalEventListener('transfer.made')
 * async tellCustomer(transfer: Transfer): Promise<void> { … }
 */
export function TransactionalEventListener(
  event: string | symbol | readonly (string | symbol)[],
  options: TransactionalEventListenerOptions = {},
): MethodDecorator {
  return (target, key) => {
    const { phase = 'AFTER_COMMIT', fallbackExecution, condition, dataSource, ...onEvent } = options;
    const label = `${target.constructor.name}.${String(key)}`;
    const known = listeners.get(target) ?? new Map<string | symbol, Listener>();
    listeners.set(target, known.set(key, { phase, label }));
    // A method of its own, so that the order of the decorators does not matter and a direct call stays direct.
    const bridge = function (this: Record<string | symbol, AnyMethod>, ...payload: unknown[]): unknown {
      if (condition?.(...payload) === false) return undefined;
      const call = (): unknown => (this[key] as AnyMethod)(...payload);
      const manager = applicationOf(this, label);
      const transaction = openTransaction(manager, dataSource);
      if (transaction !== null) {
        defer(transaction, phase, call);
        return undefined;
      }
      const { report } = manager.database(dataSource);
      if (fallbackExecution !== true) {
        warn(
          report,
          `${label} did not hear of an event, because it was emitted outside every transaction. Emit it inside one, or set fallbackExecution.`,
        );
        return undefined;
      }
      if (phase === 'AFTER_ROLLBACK') {
        warn(
          report,
          `${label} runs although nothing was rolled back: the event was emitted outside every transaction, and it has fallbackExecution.`,
        );
      }
      return call();
    };
    const name = `${String(key)}${BRIDGE_SUFFIX}`;
    Object.defineProperty(bridge, 'name', { value: name });
    Object.defineProperty(target, name, { value: bridge, configurable: true, writable: true });
    leaveUntransactional(bridge);
    const events = Array.isArray(event) ? (event as (string | symbol)[]) : [event as string | symbol];
    Reflect.defineMetadata(
      EVENT_LISTENER_METADATA,
      events.map((one) => ({ event: one, options: onEvent })),
      bridge,
    );
    declareOwner(target, coverDerived);
  };
}

/** The transaction that the event belongs to: an open one, declared or by hand. */
function openTransaction(manager: TransactionManager, dataSource: string | undefined): PhysicalTransaction | null {
  const scope = innermostScope(manager);
  const database = dataSource === undefined && scope !== null ? scope.context.database : manager.database(dataSource);
  const transaction = ambientTransaction(database);
  return transaction?.isActive === true ? transaction : null;
}

function defer(transaction: PhysicalTransaction, phase: TransactionPhase, call: () => unknown): void {
  if (phase === 'BEFORE_COMMIT') {
    transaction.hooks.add('beforeCommit', call);
    return;
  }
  transaction.hooks.add('afterCompletion', (status: string) => {
    const wanted = phase === 'AFTER_COMPLETION' || status === (phase === 'AFTER_COMMIT' ? 'committed' : 'rolledBack');
    return wanted ? call() : undefined;
  });
}

function warn(report: Report, message: string): void {
  report({ code: 'UOW_WARN_EVENT_WITHOUT_TRANSACTION', message });
}

/**
 * Checks the listeners of a class: one that runs after the transaction and is transactional itself cannot
 * join it, so it has to say that it wants its own, or none.
 * @throws IllegalTransactionStateError naming the listener
 */
export function checkListeners(type: { readonly prototype: object }): void {
  for (
    let prototype: object | null = type.prototype;
    prototype !== null && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype) as object | null
  ) {
    for (const [key, { phase, label }] of listeners.get(prototype) ?? []) {
      if (phase === 'BEFORE_COMMIT') continue;
      const method: unknown = (type.prototype as Record<string | symbol, unknown>)[key];
      const declaration = typeof method === 'function' ? transactionalMethod(method) : undefined;
      const { propagation = 'REQUIRED' } = declaration?.options ?? {};
      if (declaration === undefined || propagation === 'REQUIRES_NEW' || propagation === 'NOT_SUPPORTED') {
        continue;
      }
      throw new IllegalTransactionStateError(
        `${label} hears of events ${phase.toLowerCase().replace('_', ' ')} and is @Transactional() with ${propagation}: the transaction of the event is over then. Declare REQUIRES_NEW or NOT_SUPPORTED, or listen BEFORE_COMMIT.`,
      );
    }
  }
}
