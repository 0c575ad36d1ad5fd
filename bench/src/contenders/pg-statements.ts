import type { QueryConfig } from 'pg';

/** What the two hand-written contenders send. Everything is prepared by name. */
interface BalanceRow {
  readonly id: number;
  readonly balance: number;
}

export function lockAccounts(source: number, target: number): QueryConfig {
  return {
    name: 'lock accounts',
    text: 'SELECT id, balance FROM account WHERE id = ANY ($1::int[]) ORDER BY id FOR NO KEY UPDATE',
    values: [[source, target]],
  };
}

export function writeTransfer(
  rows: readonly BalanceRow[],
  source: number,
  target: number,
  amount: number,
): QueryConfig {
  const from = rows.find(({ id }) => id === source);
  const to = rows.find(({ id }) => id === target);
  if (from === undefined || to === undefined) throw new Error('No such account');
  if (from.balance < amount) throw new Error('Insufficient funds');
  return {
    name: 'write transfer',
    text: `WITH source AS (UPDATE account SET balance = $4 WHERE id = $1),
      target AS (UPDATE account SET balance = $5 WHERE id = $2),
      t AS (INSERT INTO transfer (source_id, target_id, amount) VALUES ($1, $2, $3) RETURNING id)
      INSERT INTO posting (transfer_id, account_id, amount)
      SELECT t.id, p.account_id, p.amount FROM t, (VALUES ($1::int, -$3::int), ($2, $3)) AS p (account_id, amount)
      RETURNING id, transfer_id`,
    values: [source, target, amount, from.balance - amount, to.balance + amount],
  };
}

export function insertParents(count: number): QueryConfig {
  return {
    name: 'insert parents',
    text: 'INSERT INTO parent (name) SELECT * FROM unnest($1::text[]) RETURNING id',
    values: [Array.from({ length: count }, (_, i) => `parent ${i}`)],
  };
}

export function insertChildren(parents: readonly { readonly id: number }[], children: number): QueryConfig {
  const parentIds: number[] = [];
  const positions: number[] = [];
  const labels: string[] = [];
  for (const { id } of parents) {
    for (let position = 0; position < children; position++) {
      parentIds.push(id);
      positions.push(position);
      labels.push(`child ${position}`);
    }
  }
  return {
    name: 'insert children',
    text: `INSERT INTO child (parent_id, position, label)
      SELECT * FROM unnest($1::int[], $2::int[], $3::text[]) RETURNING id`,
    values: [parentIds, positions, labels],
  };
}

export function findAccount(id: number): QueryConfig {
  return { name: 'find account', text: 'SELECT id, owner, balance FROM account WHERE id = $1', values: [id] };
}

export function readMeasurements(count: number): QueryConfig {
  return {
    name: 'read measurements',
    text: `SELECT id, station, kind, quantity, value, valid, taken_at AS "takenAt", received_at AS "receivedAt", note, code
      FROM measurement WHERE id <= $1 ORDER BY id`,
    values: [count],
  };
}

export function writeMeasurements(rows: readonly { readonly id: number; readonly quantity: number }[]): QueryConfig {
  return {
    name: 'write measurements',
    text: `UPDATE measurement SET quantity = v.quantity
      FROM unnest($1::int[], $2::int[]) AS v (id, quantity) WHERE measurement.id = v.id`,
    values: [rows.map(({ id }) => id), rows.map(({ quantity }) => quantity)],
  };
}
