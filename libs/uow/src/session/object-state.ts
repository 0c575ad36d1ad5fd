/**
 * The five states of an object towards a session, and the changes between them that can happen
 * (SQLAlchemy's quickie of object states). Everything that moves an object asks here, so a move that is not
 * in the table is a defect found at once.
 */
export type ObjectState = 'transient' | 'pending' | 'persistent' | 'deleted' | 'detached';

/** Why an object changes its state. */
export type StateCause =
  | 'add'
  | 'load'
  | 'flush'
  | 'commit'
  | 'rollback'
  | 'expunge'
  | 'close'
  | 'makeTransient'
  | 'makeTransientToDetached'
  | 'gone';

type Moves = Readonly<Partial<Record<ObjectState, readonly StateCause[]>>>;

/** What leads from a state to another. */
export const LEGAL_MOVES: Readonly<Record<ObjectState, Moves>> = {
  transient: {
    pending: ['add', 'rollback'],
    persistent: ['load'],
    detached: ['makeTransientToDetached'],
  },
  pending: {
    persistent: ['flush'],
    transient: ['expunge', 'close', 'rollback', 'makeTransient'],
    deleted: ['flush'],
  },
  persistent: {
    deleted: ['flush', 'rollback'],
    detached: ['expunge', 'close', 'gone'],
    transient: ['rollback', 'makeTransient'],
    pending: ['rollback'],
  },
  deleted: {
    detached: ['commit', 'close', 'expunge'],
    persistent: ['rollback'],
    transient: ['rollback', 'makeTransient'],
  },
  detached: {
    persistent: ['add', 'load', 'rollback'],
    transient: ['makeTransient', 'rollback'],
    deleted: ['rollback'],
  },
};

/** True when the table has the move. */
export function isLegalMove(from: ObjectState, to: ObjectState, cause: StateCause): boolean {
  return LEGAL_MOVES[from][to]?.includes(cause) ?? false;
}
