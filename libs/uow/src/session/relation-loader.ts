import type { ColumnMapping, EntityMapping, RelationMapping } from '../database/entity-mapping.js';
import type { Statement } from '../database/statement.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import type { InstanceState, RelationSnapshot } from './instance-state.js';
import type { Reader } from './reader.js';
import { setRelation } from './flush-result.js';
import { ownRelation } from './own-relation.js';
import { referredObject } from './relation-snapshots.js';
import type { UnitOfWork } from './unit-of-work.js';

/**
 * `missing`: what is not loaded or not up to date, and not changed; `fresh`: in any case; `again`: in any case, and
 * the objects in it are overwritten; `baseline`: only what the database has is noted, and what is set there stays.
 */
export type LoadMode = 'missing' | 'fresh' | 'again' | 'baseline';

const OVERWRITING = { populateExisting: true };

/** Loads relations of many objects at once: one query for each relation, however many objects there are. */
export class RelationLoader {
  readonly #unit: UnitOfWork;
  readonly #reader: Reader;

  constructor(unit: UnitOfWork, reader: Reader) {
    this.#unit = unit;
    this.#reader = reader;
  }

  /**
   * Loads relations by path, outer ones first.
   * @param paths such as `entries`, `entries.account`
   * @param again true to read relations that are loaded already, and to overwrite the objects in them
   */
  async load(
    states: readonly InstanceState[],
    paths: readonly string[],
    operation: string,
    again = false,
  ): Promise<void> {
    if (states.length === 0) return;
    const loaded = new Map<string, readonly InstanceState[]>([['', states]]);
    for (const { path, name, parent } of stepsOf(states[0]!.mapping, paths)) {
      const owners = loaded.get(parent) ?? [];
      const related: InstanceState[] = [];
      for (const [relation, group] of this.#byRelation(owners, name, path)) {
        await this.loadRelation(relation, group, operation, again ? 'again' : 'missing');
        for (const owner of group) this.#collect(relation, owner, related);
      }
      loaded.set(path, related);
    }
  }

  #byRelation(owners: readonly InstanceState[], name: string, path: string): Map<RelationMapping, InstanceState[]> {
    const groups = new Map<RelationMapping, InstanceState[]>();
    for (const owner of owners) {
      const relation = owner.mapping.relations.find((candidate) => candidate.path === name);
      if (relation === undefined) {
        const isElsewhere = owner.mapping.root.hierarchy.some((mapping) =>
          mapping.relations.some((candidate) => candidate.path === name),
        );
        if (isElsewhere) continue;
        throw new InvalidSessionOperationError(
          `${owner.mapping.name} has no relation "${path}"; it has ${owner.mapping.relations.map((one) => one.path).join(', ') || 'none'}.`,
        );
      }
      const group = groups.get(relation);
      if (group === undefined) groups.set(relation, [owner]);
      else group.push(owner);
    }
    return groups;
  }

  #collect(relation: RelationMapping, owner: InstanceState, into: InstanceState[]): void {
    const value = relation.get(owner.entity);
    const objects = Array.isArray(value) ? (value as object[]) : value == null ? [] : [value];
    for (const object of objects) {
      const state = this.#unit.own(object);
      if (state !== undefined && state.snapshot !== null) into.push(state);
    }
  }

  /** Loads one relation of objects that all have it. */
  async loadRelation(
    relation: RelationMapping,
    owners: readonly InstanceState[],
    operation: string,
    mode: LoadMode,
  ): Promise<void> {
    this.#unit.supported(relation.target);
    const missing = owners.filter(
      (owner) =>
        mode !== 'missing' ||
        owner.relations?.[relation.index] === undefined ||
        owner.relations[relation.index]!.isStale === true ||
        this.#reader.rows.isStale(owner, this.#reader.transaction()),
    );
    const wanted = missing.filter((owner) => {
      const value = relation.get(owner.entity);
      const seen = owner.relations?.[relation.index];
      // What the user has set there is a change, and stays unless it is to be given up.
      if (mode !== 'missing' || value === undefined) return true;
      return seen !== undefined && !isChangedRelation(seen, value);
    });
    if (wanted.length === 0) return;
    if (relation.isOwningToOne) await this.#loadOwned(relation, wanted, operation, mode);
    else await this.#loadInverse(relation, wanted, operation, mode);
  }

  async #loadOwned(
    relation: RelationMapping,
    owners: readonly InstanceState[],
    operation: string,
    mode: LoadMode,
  ): Promise<void> {
    const transaction = this.#reader.transaction();
    const needed: unknown[][] = [];
    const asked = new Set<string>();
    for (const owner of owners) {
      const known = referredObject(this.#unit, owner, relation);
      if (known === null) continue;
      const state = known === undefined ? undefined : this.#unit.own(known);
      if (mode === 'missing' && state !== undefined && !this.#reader.rows.isStale(state, transaction)) continue;
      const values = relation.joinColumns.map((column) => column.storedParameter(owner.snapshot!));
      const name = values.map(String).join('\u0000');
      if (asked.has(name)) continue;
      asked.add(name);
      needed.push(values);
    }
    const found = new Map<string, object>();
    if (needed.length > 0) {
      const { target } = relation;
      const statement = selectByColumns(target, relation.referencedColumns, needed);
      const results = await this.#reader.query(statement, operation);
      for (const row of results.rows as unknown[][]) {
        const entity = this.#reader.rows.absorb(target, target.reader, row, mode === 'again' ? OVERWRITING : null);
        const state = this.#unit.own(entity!)!;
        found.set(
          relation.referencedColumns.map((column) => String(column.storedParameter(state.snapshot!))).join('\u0000'),
          entity!,
        );
      }
    }
    for (const owner of owners) {
      const values = relation.joinColumns.map((column) => column.storedParameter(owner.snapshot!));
      const related = values.some((value) => value === null || value === undefined)
        ? null
        : (referredObject(this.#unit, owner, relation) ?? found.get(values.map(String).join('\u0000')) ?? null);
      this.#place(owner, relation, related, mode);
    }
  }

  async #loadInverse(
    relation: RelationMapping,
    owners: readonly InstanceState[],
    operation: string,
    mode: LoadMode,
  ): Promise<void> {
    const { target } = relation;
    const isJunction = relation.kind === 'many-to-many';
    const pairs = isJunction
      ? relation.junctionSource.map(({ column, referenced }) => ({ column, own: referenced }))
      : (relation.inverse?.joinColumns ?? []).map((column, at) => ({
          column,
          own: relation.inverse!.referencedColumns[at]!,
        }));
    const keys = owners.map((owner) => pairs.map(({ own }) => own.storedParameter(owner.snapshot!)));
    const byKey = new Map<string, object[]>();
    const statement = isJunction
      ? selectThroughJunction(relation, keys)
      : selectByColumns(
          target,
          pairs.map(({ column }) => column),
          keys,
          true,
        );
    const { rows } = await this.#reader.query(statement, operation);
    const extra = pairs.length;
    for (const row of rows as unknown[][]) {
      const owner = row
        .splice(row.length - extra, extra)
        .map(String)
        .join('\u0000');
      const entity = this.#reader.rows.absorb(target, target.reader, row, mode === 'again' ? OVERWRITING : null);
      if (entity === null) continue;
      const known = byKey.get(owner);
      if (known === undefined) byKey.set(owner, [entity]);
      else known.push(entity);
    }
    owners.forEach((owner, at) => {
      const items = byKey.get(keys[at]!.map(String).join('\u0000')) ?? [];
      this.#place(owner, relation, relation.isToMany ? items : (items[0] ?? null), mode);
      if (isJunction || relation.inverse === null) return;
      for (const item of items) {
        const state = this.#unit.own(item);
        if (state === undefined) continue;
        const inverse = ownRelation(state.mapping, relation.inverse);
        if (inverse.get(item) === undefined) this.#place(state, inverse, owner.entity);
      }
    });
  }

  /** Puts what was loaded in its place; an array that was there keeps its identity. */
  #place(
    owner: InstanceState,
    relation: RelationMapping,
    value: object | object[] | null,
    mode: LoadMode = 'missing',
  ): void {
    this.#reader.rows.touchRead(owner);
    const seen = owner.relations?.[relation.index];
    const seenIn = this.#reader.transaction();
    let snapshot: RelationSnapshot;
    if (relation.isToMany) {
      const items = value as object[];
      const own = relation.get(owner.entity);
      const array =
        mode === 'baseline' && Array.isArray(own) ? (own as object[]) : seen?.isToMany === true ? seen.array : items;
      snapshot = { isToMany: true, array, items: [...items], seenIn };
      if (mode !== 'baseline') {
        if (array !== items) array.splice(0, array.length, ...items);
        if (relation.get(owner.entity) !== array) setRelation(owner, relation, array);
      }
    } else {
      snapshot = { isToMany: false, related: value, seenIn };
      if (mode !== 'baseline') setRelation(owner, relation, value);
    }
    owner.relations = owner.relations === null ? [] : [...owner.relations];
    owner.relations[relation.index] = snapshot;
  }
}

function isChangedRelation(seen: RelationSnapshot, value: unknown): boolean {
  if (!seen.isToMany) return seen.related !== value;
  const array = value as object[];
  return array.length !== seen.items.length || array.some((item, at) => item !== seen.items[at]);
}

/** One relation to load: its path from the first objects, its own name, and the path of what holds it. */
interface LoadStep {
  readonly path: string;
  readonly name: string;
  readonly parent: string;
  readonly depth: number;
}

/** Paths as steps, outer ones first. A relation inside an embedded object is one step, whatever dots its name has. */
function stepsOf(mapping: EntityMapping, paths: readonly string[]): LoadStep[] {
  const steps = new Map<string, LoadStep>();
  for (const whole of paths) {
    let at: EntityMapping | undefined = mapping;
    let parent = '';
    for (let rest = whole, depth = 0; rest !== ''; depth++) {
      const left: string = rest;
      const relation: RelationMapping | undefined = at?.root.hierarchy
        .flatMap((one) => one.relations)
        .find((one) => left === one.path || left.startsWith(`${one.path}.`));
      const name: string = relation?.path ?? left.split('.', 1)[0]!;
      const path = parent === '' ? name : `${parent}.${name}`;
      if (!steps.has(path)) steps.set(path, { path, name, parent, depth });
      at = relation?.target;
      parent = path;
      rest = left.slice(name.length + 1);
    }
  }
  return [...steps.values()].sort((a, b) => a.depth - b.depth);
}

/** Rows of a table by the values of some columns; with the columns once more behind the row where asked. */
function selectByColumns(
  mapping: EntityMapping,
  columns: readonly ColumnMapping[],
  values: readonly (readonly unknown[])[],
  withColumns = false,
): Statement {
  const behind = withColumns ? columns.map((column) => `, t.${column.sql}`).join('') : '';
  const alive = mapping.deleteDate === null ? '' : ` AND t.${mapping.deleteDate.sql} IS NULL`;
  const kind = discriminatorCondition(mapping, 't');
  const order = mapping.keyColumns.map((column) => `t.${column.sql}`).join(', ');
  const { condition, parameters } = whereColumns(columns, values, 't');
  return {
    text: `SELECT ${mapping.selectList('t')}${behind} FROM ${mapping.table} AS t WHERE ${condition}${alive}${kind} ORDER BY ${order}`,
    values: parameters,
    rowMode: 'array',
  };
}

function selectThroughJunction(relation: RelationMapping, keys: readonly (readonly unknown[])[]): Statement {
  const { target } = relation;
  const junction = relation.junction!;
  const own = relation.junctionSource.map(({ column }) => column);
  const on = relation.junctionTarget.map(({ column, referenced }) => `t.${referenced.sql} = j.${column.sql}`);
  const alive = target.deleteDate === null ? '' : ` AND t.${target.deleteDate.sql} IS NULL`;
  const order = target.keyColumns.map((column) => `t.${column.sql}`).join(', ');
  const { condition, parameters } = whereColumns(own, keys, 'j');
  return {
    text:
      `SELECT ${target.selectList('t')}${own.map((column) => `, j.${column.sql}`).join('')} FROM ${junction.table} AS j ` +
      `JOIN ${target.table} AS t ON ${on.join(' AND ')} WHERE ${condition}${alive} ORDER BY ${order}`,
    values: parameters,
    rowMode: 'array',
  };
}

/** `t.a = ANY($1)`, or the same for several columns together. */
export function whereColumns(
  columns: readonly ColumnMapping[],
  values: readonly (readonly unknown[])[],
  alias: string,
): { condition: string; parameters: unknown[] } {
  const parameters = columns.map((_, at) => values.map((row) => row[at]));
  const cast = (column: ColumnMapping, value: string): string =>
    column.castsElement ? `${value}::${column.type}` : value;
  if (columns.length === 1) {
    const column = columns[0]!;
    const array = column.castsElement ? `$1::text[]::${column.type}[]` : `$1::${column.arrayType}[]`;
    return { condition: `${alias}.${column.sql} = ANY(${array})`, parameters };
  }
  const arrays = columns.map((column, at) => `$${at + 1}::${column.arrayType}[]`);
  const parts = columns.map((column, at) => cast(column, `k.c${at}`));
  const names = columns.map((_, at) => `c${at}`);
  return {
    condition: `(${columns.map((column) => `${alias}.${column.sql}`).join(', ')}) IN (SELECT ${parts.join(', ')} FROM unnest(${arrays.join(', ')}) AS k(${names.join(', ')}))`,
    parameters,
  };
}

/** The condition that keeps a child of a single-table hierarchy to its own rows. */
export function discriminatorCondition(mapping: EntityMapping, alias: string): string {
  if (mapping.discriminator === null || mapping.root === mapping) return '';
  const values = mapping.hierarchy.flatMap((one) =>
    one.discriminatorValue === null ? [] : [`'${one.discriminatorValue.replaceAll("'", "''")}'`],
  );
  return ` AND ${alias}.${mapping.discriminator.sql} IN (${values.join(', ')})`;
}
