import type { IdentityKey, RowReader, Snapshot } from '../database/entity-mapping.js';
import type { CompiledColumn } from './column-mapping.js';
import { generate } from './property-access.js';

/**
 * Functions generated once for an entity, because they run for every row and every tracked object: reading a
 * result row into an entity and its snapshot, and telling whether an entity still equals its snapshot. Only
 * property names and positions from the metadata enter the generated text, quoted as string literals.
 */

/** Compiles the comparison of an entity's columns with its snapshot. */
export function compileIsChanged(columns: readonly CompiledColumn[]): (entity: object, snapshot: Snapshot) => boolean {
  const tests = comparisons(columns, () => 'return true');
  return generate('c', `return function isChanged(e, s) { let v; ${tests} return false; }`, columns);
}

/** Compiles what names the columns in which an entity differs from its snapshot; null where it does in none. */
export function compileChangedColumns<Column extends CompiledColumn>(
  columns: readonly Column[],
): (entity: object, snapshot: Snapshot) => readonly Column[] | null {
  const tests = comparisons(columns, ({ index }) => `(d ??= []).push(c[${index}])`);
  return generate('c', `return function changedColumns(e, s) { let v, d = null; ${tests} return d; }`, columns);
}

/** Compares each property that an update may write. */
function comparisons(columns: readonly CompiledColumn[], whereDiffers: (column: CompiledColumn) => string): string {
  const tests: string[] = [];
  for (const column of columns) {
    if (!column.isProperty || !column.updatable || column.role === 'discriminator') continue;
    const slot = `s[${column.index}]`;
    const sameTime = column.isTimestamp ? ` && !(v instanceof Date && v.getTime() === ${slot})` : '';
    tests.push(
      `v = ${propertyRead(column)}; if (v !== ${slot} && v !== undefined${sameTime} && (${slot} === undefined || !c[${column.index}].same(v, ${slot}))) ${whereDiffers(column)};`,
    );
  }
  return tests.join('\n');
}

/**
 * Compiles a reader of rows.
 * @param positions where each column stands in the row, by column index; -1 where it does not
 * @param slots length of a snapshot
 */
export function compileRowReader(
  columns: readonly CompiledColumn[],
  positions: readonly number[],
  slots: number,
): RowReader {
  const inPlace = columns.every((column) => positions[column.index] === column.index);
  const lines: string[] = [];
  const snapshot: string[] = [];
  const raws: string[] = [];
  for (const column of columns) {
    const at = positions[column.index] ?? -1;
    const write = column.isProperty ? propertyWrite(column) : null;
    if (at === -1) {
      if (write !== null) {
        lines.push(`if (b === null && ${propertyRead(column)} !== undefined) ${write('undefined')};`);
      }
      snapshot.push(`b === null ? undefined : b[${column.index}]`);
      if (column.rawSlot !== -1) raws[column.rawSlot] = `b === null ? undefined : b[${column.rawSlot}]`;
      continue;
    }
    if (column.isPlain) {
      if (write !== null) lines.push(`${write(`r[${at}]`)};`);
      snapshot.push(`r[${at}]`);
      continue;
    }
    const { isTimestamp } = column;
    const converted = `v = c[${column.index}].fromRow(r[${at}]);`;
    lines.push(isTimestamp ? `v = r[${at}]; if (typeof v === 'string') ${converted}` : converted);
    if (write !== null) lines.push(`${write('v')};`);
    const freeze = `c[${column.index}].freezeRead(v, r[${at}])`;
    const frozen = isTimestamp ? `v instanceof Date ? v.getTime() : ${freeze}` : freeze;
    if (column.rawSlot !== -1) raws[column.rawSlot] = `c[${column.index}].rawToParameter(r[${at}])`;
    if (inPlace) {
      if (column.rawSlot !== -1) lines.push(`w[${column.index}] = ${raws[column.rawSlot]};`);
      lines.push(`r[${at}] = ${frozen};`);
    } else {
      lines.push(`f${column.index} = ${frozen};`);
      snapshot.push(`f${column.index}`);
    }
  }
  const hasRaws = slots > columns.length;
  let finish: string;
  if (inPlace) {
    const pushes = columns
      .filter((column) => column.rawSlot !== -1)
      .sort((a, b) => a.rawSlot - b.rawSlot)
      .map((column) => `r.push(w[${column.index}]);`);
    finish = `if (r.length !== ${columns.length}) r.length = ${columns.length}; ${pushes.join(' ')} return r;`;
  } else {
    finish = `return [${[...snapshot, ...raws.slice(columns.length)].join(', ')}];`;
  }
  const locals = columns.map((column) => `f${column.index}`).join(', ');
  const body = `let v${locals === '' ? '' : `, ${locals}`}; ${inPlace && hasRaws ? 'const w = [];' : ''} ${lines.join('\n')} ${finish}`;
  const load = generate<RowReader['load']>('c', `return function load(e, r, b) { ${body} }`, columns);

  const keyColumns = columns.filter((column) => column.isKey);
  const keyPositions = keyColumns.map((column) => positions[column.index] ?? -1);
  const missing = columns.filter((column) => column.selected && (positions[column.index] ?? -1) === -1);
  return {
    positions,
    missing: missing.length === 0 ? null : new Set(missing),
    load,
    key: keyReader(keyColumns, keyPositions),
  };
}

function keyReader(
  keyColumns: readonly CompiledColumn[],
  positions: readonly number[],
): (row: unknown[]) => IdentityKey | null {
  const first = keyColumns[0];
  if (keyColumns.length === 1 && first !== undefined) {
    const at = positions[0] ?? -1;
    const part = first.keyPart;
    return (row) => {
      const stored = row[at];
      return stored === null || stored === undefined ? null : part(stored);
    };
  }
  return (row) => {
    const parts: (string | number)[] = [];
    for (let i = 0; i < keyColumns.length; i++) {
      const stored = row[positions[i]!];
      if (stored === null || stored === undefined) return null;
      parts.push(keyColumns[i]!.keyPart(stored));
    }
    return joinKeyParts(parts);
  };
}

/** One key of several parts; lengths keep parts from running into each other. */
export function joinKeyParts(parts: readonly (string | number)[]): string {
  let key = '';
  for (const part of parts) key += typeof part === 'number' ? `${part};` : `${part.length}:${part};`;
  return key;
}

function propertyRead(column: CompiledColumn): string {
  const [first, ...rest] = propertyNames(column);
  return `e[${first!}]${rest.map((name) => `?.[${name}]`).join('')}`;
}

function propertyWrite(column: CompiledColumn): (value: string) => string {
  const names = propertyNames(column);
  if (names.length === 1) return (value) => `e[${names[0]!}] = ${value}`;
  return (value) => `c[${column.index}].set(e, ${value})`;
}

function propertyNames(column: CompiledColumn): string[] {
  const owners = column.metadata.embeddedMetadata?.embeddedMetadataTree ?? [];
  return [...owners.map((step) => step.propertyName), column.metadata.propertyName].map((name) => JSON.stringify(name));
}
