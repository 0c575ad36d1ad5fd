import type { Database } from '../database/database.js';
import type { Statement } from '../database/statement.js';
import { IllegalTransactionStateError } from '../errors/transaction-errors.js';
import type { RetryOptions } from './retry-policy.js';
import type { RollbackRule } from './rollback-rules.js';

/** How a scope relates to the transaction around it (Spring's propagation). */
export type Propagation = 'REQUIRED' | 'REQUIRES_NEW' | 'NESTED' | 'SUPPORTS' | 'MANDATORY' | 'NOT_SUPPORTED' | 'NEVER';

/** PostgreSQL's isolation levels, spelt as TypeORM spells them. */
export type TransactionIsolation = 'READ UNCOMMITTED' | 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';

/** What `@Transactional()` and `TransactionManager.run` take. */
export interface TransactionOptions {
  /** Default `REQUIRED`: join the open transaction, else begin one. */
  readonly propagation?: Propagation;
  /** Default: the data source's. A joining scope that asks for another than the open transaction's is refused. */
  readonly isolation?: TransactionIsolation;
  /** Root: BEGIN READ ONLY, nothing is tracked for writing. Joining: this scope may not write. */
  readonly readOnly?: boolean;
  /** With SERIALIZABLE and `readOnly`: wait for a snapshot that needs no checks. */
  readonly deferrable?: boolean;
  /** Milliseconds for the whole transaction: waiting for a connection, everything nested, and COMMIT. */
  readonly timeout?: number;
  /** Run the root method again on serialization failures and deadlocks. */
  readonly retry?: RetryOptions;
  /** Errors that roll back although `noRollbackFor` matches from farther away. */
  readonly rollbackFor?: RollbackRule | readonly RollbackRule[];
  /** Errors after which the transaction is committed all the same; they are thrown on. */
  readonly noRollbackFor?: RollbackRule | readonly RollbackRule[];
  /** `SET LOCAL` settings for the transaction, such as `{ 'app.tenant': id }` for row-level security. */
  readonly locals?: Readonly<Record<string, string | number | boolean>>;
  /** Name of the data source; default the module's default one. */
  readonly dataSource?: string;
  /** How messages name this scope; default `Class.method`. */
  readonly label?: string;
  /** Aborting it cancels the running statement and rolls back. */
  readonly signal?: AbortSignal;
}

/** What was asked for, checked and with nothing left to interpret. */
export interface TransactionDefinition {
  readonly propagation: Propagation;
  readonly isolation: TransactionIsolation | undefined;
  readonly readOnly: boolean | undefined;
  readonly deferrable: boolean | undefined;
  readonly timeout: number | undefined;
  readonly retry: RetryOptions | undefined;
  readonly rollbackFor: readonly RollbackRule[];
  readonly noRollbackFor: readonly RollbackRule[];
  readonly locals: Readonly<Record<string, string>> | undefined;
  readonly label: string;
  readonly signal: AbortSignal | undefined;
}

const PROPAGATIONS: readonly string[] = [
  'REQUIRED',
  'REQUIRES_NEW',
  'NESTED',
  'SUPPORTS',
  'MANDATORY',
  'NOT_SUPPORTED',
  'NEVER',
];
const ISOLATIONS: readonly string[] = ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'];
const NO_RULES: readonly RollbackRule[] = Object.freeze([]);
const SETTING_NAME = /^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*$/;

const list = (rules: RollbackRule | readonly RollbackRule[] | undefined): readonly RollbackRule[] =>
  rules === undefined ? NO_RULES : typeof rules === 'function' ? [rules] : rules;

const complain = (label: string, text: string): never => {
  throw new IllegalTransactionStateError(`The transaction options of ${label} are wrong: ${text}.`);
};

/**
 * Checks options and makes the definition of them.
 * @param label how messages name the scope when the options give no label
 * @throws IllegalTransactionStateError naming the wrong option
 */
export function defineTransaction(options: TransactionOptions, label: string): TransactionDefinition {
  const name = options.label ?? label;
  const { propagation = 'REQUIRED', isolation, timeout, retry } = options;
  if (!PROPAGATIONS.includes(propagation)) {
    complain(name, `propagation "${propagation}" is none of ${PROPAGATIONS.join(', ')}`);
  }
  if (isolation !== undefined && !ISOLATIONS.includes(isolation)) {
    complain(name, `isolation "${isolation}" is none of ${ISOLATIONS.join(', ')}`);
  }
  if (timeout !== undefined && !(timeout > 0 && timeout <= 2_147_483_647)) {
    complain(name, `timeout ${String(timeout)} is not a positive number of milliseconds`);
  }
  if (retry !== undefined && !(Number.isInteger(retry.attempts) && retry.attempts >= 1)) {
    complain(name, `retry.attempts ${String(retry.attempts)} is not a whole number from 1`);
  }
  let locals: Record<string, string> | undefined;
  for (const [key, value] of Object.entries(options.locals ?? {})) {
    if (!SETTING_NAME.test(key)) complain(name, `"${key}" in locals is not a setting's name`);
    (locals ??= {})[key] = String(value);
  }
  return {
    propagation,
    isolation,
    readOnly: options.readOnly,
    deferrable: options.deferrable,
    timeout,
    retry,
    rollbackFor: list(options.rollbackFor),
    noRollbackFor: list(options.noRollbackFor),
    locals,
    label: name,
    signal: options.signal,
  };
}

/** PostgreSQL treats READ UNCOMMITTED as READ COMMITTED, and so does the comparison of demands. */
export function effectiveIsolation(isolation: string | undefined): string {
  return isolation === undefined || isolation === 'READ UNCOMMITTED' ? 'READ COMMITTED' : isolation;
}

/** The one BEGIN with all that belongs to it. */
export function beginStatement(definition: {
  isolation: string | undefined;
  readOnly: boolean | undefined;
  deferrable: boolean | undefined;
}): Statement {
  let text = 'BEGIN';
  if (definition.isolation !== undefined) text += ` ISOLATION LEVEL ${definition.isolation}`;
  if (definition.readOnly === true) text += ' READ ONLY';
  if (definition.deferrable !== undefined) {
    text += definition.deferrable ? ' DEFERRABLE' : ' NOT DEFERRABLE';
  }
  return { text, rowMode: 'array' };
}

const TRANSACTION_TIMEOUT_SINCE = 170_000;

/**
 * BEGIN and what has to be set before the first statement that reads.
 * @param expiresAt `performance.now()` at which the deadline passes, for the server to enforce too
 * @param serverVersion as a number, such as 180004
 */
export function openingStatements(
  definition: TransactionDefinition,
  expiresAt: number,
  serverVersion: number,
): Statement[] {
  const begin = beginStatement(definition);
  if (expiresAt === Infinity && definition.locals === undefined) return [begin];
  const settings: Record<string, string> = { ...definition.locals };
  if (expiresAt !== Infinity) {
    const name = serverVersion >= TRANSACTION_TIMEOUT_SINCE ? 'transaction_timeout' : 'statement_timeout';
    settings[name] ??= String(Math.max(1, Math.ceil(expiresAt - performance.now())));
  }
  return Object.keys(settings).length === 0 ? [begin] : [begin, localsStatement(settings)];
}

/** One SELECT that sets the transaction's local settings, by parameters. */
export function localsStatement(locals: Readonly<Record<string, string>>): Statement {
  const values: string[] = [];
  const calls = Object.entries(locals).map(([name, value]) => {
    values.push(name, value);
    return `set_config($${values.length - 1}, $${values.length}, true)`;
  });
  return { text: `SELECT ${calls.join(', ')}`, values };
}

/**
 * Checks what a joining scope demands against the open transaction.
 * @throws IllegalTransactionStateError naming both
 */
export function checkDemands(demand: TransactionDefinition, open: TransactionDefinition, openReadOnly: boolean): void {
  const refuse = (what: string, wanted: string, has: string): never => {
    throw new IllegalTransactionStateError(
      `${demand.label} demands ${what} ${wanted}, but the transaction of ${open.label}, which it joins, has ${has}. ` +
        `Declare it on ${open.label}, or give ${demand.label} a transaction of its own (REQUIRES_NEW).`,
    );
  };
  if (demand.isolation !== undefined && effectiveIsolation(demand.isolation) !== effectiveIsolation(open.isolation)) {
    refuse('isolation', demand.isolation, effectiveIsolation(open.isolation));
  }
  if (demand.deferrable !== undefined && demand.deferrable !== (open.deferrable ?? false)) {
    refuse('deferrable', String(demand.deferrable), String(open.deferrable ?? false));
  }
  if (demand.readOnly === false && openReadOnly) refuse('readOnly', 'false', 'readOnly true');
  for (const [name, value] of Object.entries(demand.locals ?? {})) {
    const has = open.locals?.[name];
    if (has !== value) refuse(`local "${name}" =`, value, has === undefined ? 'none' : `"${has}"`);
  }
  if (demand.retry !== undefined) {
    throw new IllegalTransactionStateError(
      `${demand.label} declares retry, but it joined the transaction of ${open.label}: only the root of a transaction can be run again. ` +
        `Declare retry on ${open.label}, or give ${demand.label} a transaction of its own (REQUIRES_NEW).`,
    );
  }
}

/**
 * Checks a scope that runs without a transaction: what protects data is refused, what only describes a transaction
 * is reported.
 * @throws IllegalTransactionStateError for `locals` and `retry`
 */
export function refuseWithoutTransaction(definition: TransactionDefinition, database: Database): void {
  const { label, isolation, deferrable, timeout, signal } = definition;
  for (const option of ['locals', 'retry'] as const) {
    if (definition[option] === undefined) continue;
    throw new IllegalTransactionStateError(
      `${label} declares ${option}, but runs without a transaction (${definition.propagation}), where it means nothing. ` +
        `Give it a transaction (REQUIRED), or leave ${option} out.`,
    );
  }
  const idle = Object.entries({ isolation, deferrable, timeout, signal }).filter(([, value]) => value !== undefined);
  if (idle.length === 0) return;
  database.report({
    code: 'UOW_WARN_OPTIONS_WITHOUT_TRANSACTION',
    message: `${label} declares ${idle.map(([name]) => name).join(', ')}, but runs without a transaction (${definition.propagation}), where that means nothing.`,
  });
}

/**
 * Fills in what a root scope leaves open.
 * @param defaults of the module
 * @param isolation of the data source
 */
export function withDefaults(
  definition: TransactionDefinition,
  defaults: TransactionOptions | undefined,
  isolation: string | undefined,
): TransactionDefinition {
  const ofDataSource = isolation as TransactionIsolation | undefined;
  if (defaults === undefined || Object.keys(defaults).length === 0) {
    return definition.isolation !== undefined || ofDataSource === undefined
      ? definition
      : { ...definition, isolation: ofDataSource };
  }
  const filled = defineTransaction(defaults, definition.label);
  return {
    ...definition,
    isolation: definition.isolation ?? filled.isolation ?? ofDataSource,
    readOnly: definition.readOnly ?? filled.readOnly,
    deferrable: definition.deferrable ?? filled.deferrable,
    timeout: definition.timeout ?? filled.timeout,
    retry: definition.retry ?? filled.retry,
    rollbackFor: definition.rollbackFor.length > 0 ? definition.rollbackFor : filled.rollbackFor,
    noRollbackFor: definition.noRollbackFor.length > 0 ? definition.noRollbackFor : filled.noRollbackFor,
    locals: filled.locals === undefined ? definition.locals : { ...filled.locals, ...definition.locals },
    signal: definition.signal ?? filled.signal,
  };
}
