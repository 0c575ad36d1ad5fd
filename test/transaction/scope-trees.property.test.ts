import fc from 'fast-check';
import type { Propagation } from '../../libs/uow/src/transaction/transaction-definition.js';
import { ambientTransaction } from '../../libs/uow/src/transaction/ambient.js';
import { transactionFixture } from './transaction-fixture.js';
import type { TransactionFixture } from './transaction-fixture.js';

/**
 * Random trees of scopes, run against PostgreSQL and against a model in memory: which rows must be there
 * afterwards, and what every top-level caller gets.
 */

type Op =
  | { readonly kind: 'write'; readonly id: string }
  | { readonly kind: 'bad' }
  | { readonly kind: 'mark' }
  | { readonly kind: 'child'; readonly scope: Scope; readonly catches: boolean };

interface Scope {
  readonly mode: Propagation;
  readonly ops: readonly Op[];
  readonly ends: 'returns' | 'throws' | 'throws allowed';
  /** The ops run side by side, each in a branch of its own. */
  readonly parallel: boolean;
}

class Allowed extends Error {}

const MODES: readonly Propagation[] = [
  'REQUIRED',
  'REQUIRES_NEW',
  'NESTED',
  'SUPPORTS',
  'MANDATORY',
  'NOT_SUPPORTED',
  'NEVER',
];

function scopes(withBad: boolean, parallel: boolean): fc.Arbitrary<Scope> {
  const { scope } = fc.letrec<{ scope: Scope; op: Op }>((tie) => ({
    op: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      { weight: 4, arbitrary: fc.constant<Op>({ kind: 'write', id: '' }) },
      { weight: withBad ? 1 : 0, arbitrary: fc.constant<Op>({ kind: 'bad' }) },
      { weight: 1, arbitrary: fc.constant<Op>({ kind: 'mark' }) },
      {
        weight: 5,
        arbitrary: fc.record({
          kind: fc.constant('child' as const),
          scope: tie('scope'),
          catches: fc.boolean(),
        }),
      },
    ),
    scope: fc.record({
      mode: fc.constantFrom('REQUIRED' as const, 'NESTED' as const, ...MODES),
      ops: fc.array(tie('op'), { maxLength: 4 }),
      ends: fc.constantFrom('returns' as const, 'returns' as const, 'throws' as const, 'throws allowed' as const),
      parallel: parallel ? fc.boolean() : fc.constant(false),
    }),
  }));
  return scope;
}

// ── the model ─────────────────────────────────────────────────────────────────────────────────────────────

interface Level {
  writes: string[];
  mark: 'self' | 'other' | null;
  failed: boolean;
}

interface Around {
  readonly levels: Level[] | null;
  /** The level of the scope that owns, and whether it is this very scope. */
  readonly owner: Level | null;
  readonly isOwner: boolean;
}

const OUTSIDE: Around = { levels: null, owner: null, isOwner: false };

class Model {
  readonly stored = new Set<string>();

  /** @returns the error that the caller gets, or null */
  call(scope: Scope, around: Around): string | null {
    const open = around.levels;
    switch (scope.mode) {
      case 'REQUIRED':
        return open === null ? this.#owner(scope, null) : this.#joined(scope, around);
      case 'SUPPORTS':
        return open === null ? this.#body(scope, OUTSIDE) : this.#joined(scope, around);
      case 'MANDATORY':
        return open === null ? 'UOW_ILLEGAL_TRANSACTION_STATE' : this.#joined(scope, around);
      case 'NESTED':
        if (open?.some((level) => level.failed) === true) return 'UOW_PENDING_ROLLBACK';
        return this.#owner(scope, open);
      case 'REQUIRES_NEW':
        return this.#owner(scope, null);
      case 'NOT_SUPPORTED':
        return this.#body(scope, OUTSIDE);
      case 'NEVER':
        return open === null ? this.#body(scope, OUTSIDE) : 'UOW_ILLEGAL_TRANSACTION_STATE';
    }
  }

  #joined(scope: Scope, around: Around): string | null {
    const error = this.#body(scope, { ...around, isOwner: false });
    if (error !== null && error !== 'allowed' && around.owner !== null) around.owner.mark ??= 'other';
    return error;
  }

  #owner(scope: Scope, outer: Level[] | null): string | null {
    const level: Level = { writes: [], mark: null, failed: false };
    const levels = [...(outer ?? []), level];
    const error = this.#body(scope, { levels, owner: level, isOwner: true });
    if (error !== null && error !== 'allowed') return error;
    if (level.mark === 'other') return 'UOW_UNEXPECTED_ROLLBACK';
    if (level.mark === 'self') return error;
    if (level.failed) return 'UOW_TRANSACTION_ROLLED_BACK';
    if (outer === null) for (const id of level.writes) this.stored.add(id);
    else outer.at(-1)?.writes.push(...level.writes);
    return error;
  }

  #body(scope: Scope, around: Around): string | null {
    let first: string | null = null;
    for (const op of scope.ops) {
      const error = this.#op(op, around);
      if (error !== null && first === null) {
        first = error;
        if (!scope.parallel) return error;
      }
    }
    if (first !== null) return first;
    return scope.ends === 'returns' ? null : scope.ends === 'throws' ? 'boom' : 'allowed';
  }

  #op(op: Op, around: Around): string | null {
    const { levels } = around;
    switch (op.kind) {
      case 'write':
        if (levels === null) return null;
        if (levels.some((level) => level.failed)) return 'UOW_PENDING_ROLLBACK';
        levels.at(-1)?.writes.push(op.id);
        return null;
      case 'bad':
        if (levels !== null && !levels.some((level) => level.failed)) {
          (levels.at(-1) as Level).failed = true;
        }
        return null;
      case 'mark':
        if (around.owner === null) return null;
        if (around.isOwner) around.owner.mark = 'self';
        else around.owner.mark ??= 'other';
        return null;
      case 'child': {
        const error = this.call(op.scope, around);
        return op.catches ? null : error;
      }
    }
  }
}

// ── the real thing ────────────────────────────────────────────────────────────────────────────────────────

let fixture: TransactionFixture;
beforeAll(async () => {
  fixture = await transactionFixture({ poolSize: 40 });
});
afterAll(async () => {
  await fixture.close();
});

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? (error as Error).message;

async function perform(scope: Scope): Promise<void> {
  const { transactions, note, sql, source } = fixture;
  const op = async (one: Op): Promise<void> => {
    const open = ambientTransaction(source) !== null;
    switch (one.kind) {
      case 'write':
        if (open) await note(one.id);
        return;
      case 'bad':
        if (open) await sql('SELECT 1/0').catch(() => undefined);
        return;
      case 'mark':
        transactions.setRollbackOnly();
        return;
      case 'child':
        try {
          await perform(one.scope);
        } catch (error) {
          if (!one.catches) throw error;
        }
    }
  };
  await transactions.run({ propagation: scope.mode, noRollbackFor: Allowed }, async () => {
    if (scope.parallel) {
      const settled = await Promise.allSettled(scope.ops.map(op));
      const failed = settled.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } else {
      for (const one of scope.ops) await op(one);
    }
    if (scope.ends === 'throws') throw new Error('boom');
    if (scope.ends === 'throws allowed') throw new Allowed('allowed');
  });
}

/** The tree with a name of its own for each write. */
function named(scope: Scope, next = { id: 0 }): Scope {
  return {
    ...scope,
    ops: scope.ops.map((op) => {
      if (op.kind === 'write') return { ...op, id: `n${(next.id += 1)}` };
      return op.kind === 'child' ? { ...op, scope: named(op.scope, next) } : op;
    }),
  };
}

async function holds(given: Scope): Promise<void> {
  const tree = named(given);
  const model = new Model();
  const error = model.call(tree, OUTSIDE);
  const stored = [...model.stored].sort();
  await fixture.database.query('TRUNCATE note');
  let got: string | null = null;
  await fixture.transactions
    .runInContext('a random tree', () => perform(tree))
    .catch((thrown: unknown) => {
      got = codeOf(thrown);
    });
  expect({ error: got, stored: await fixture.notes() }).toEqual({ error, stored });
  expect(fixture.source.heldConnections).toBe(0);
}

test('random trees of scopes with failing statements leave what the model says', async () => {
  await fc.assert(fc.asyncProperty(scopes(true, false), holds), { numRuns: Number(process.env.SCOPE_TREES ?? 400) });
});

test('random trees of scopes with parallel branches leave what the model says', async () => {
  let parallel = 0;
  await fc.assert(
    fc.asyncProperty(scopes(false, true), async (tree) => {
      const branches = (scope: Scope): number =>
        (scope.parallel ? scope.ops.length : 0) +
        scope.ops.reduce((sum, op) => sum + (op.kind === 'child' ? branches(op.scope) : 0), 0);
      parallel += branches(tree) > 1 ? 1 : 0;
      await holds(tree);
    }),
    { numRuns: Number(process.env.SCOPE_TREES ?? 400) },
  );
  expect(parallel).toBeGreaterThan(20);
});
