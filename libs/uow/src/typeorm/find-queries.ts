import type { DataSource, FindManyOptions, ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import type {
  ColumnMapping,
  EntityMapping,
  EntityMappings,
  RelationMapping,
  RowReader,
} from '../database/entity-mapping.js';
import { lockClause } from '../database/loading.js';
import type {
  BuilderHost,
  EntityQueries,
  EntityQuery,
  LockOptions,
  MatchingKeys,
  RelationSelects,
} from '../database/loading.js';
import type { Statement, StatementResult } from '../database/statement.js';
import { InvalidSessionOperationError } from '../errors/session-errors.js';
import type { CompiledMapping } from './entity-mapping.js';
import { sessionQueryBuilder } from './session-query-builder.js';

/**
 * TypeORM's find options as SQL. TypeORM's own builder makes the conditions, the joins that they need and the
 * order, so that they mean what they mean in a repository; relations are left out and loaded afterwards by
 * the session, in one query each.
 */

type Options = FindManyOptions<ObjectLiteral> & Record<string, unknown>;

/** The alias of the entity in every query: short, so that no column alias is ever cut to the limit of 63 bytes. */
const ALIAS = 'e';

export class FindQueries implements EntityQueries {
  readonly #dataSource: DataSource;
  readonly #mappings: EntityMappings;

  constructor(dataSource: DataSource, mappings: EntityMappings) {
    this.#dataSource = dataSource;
    this.#mappings = mappings;
  }

  find(mapping: EntityMapping, given: object, lock: LockOptions | null): EntityQuery {
    const options = given as Options;
    const relations = relationPaths(mapping, options);
    const selected = selectOf(mapping, options.select, relations);
    const builder = this.#builder(mapping, { ...options, select: selected?.properties });
    // Find options cannot name a foreign key that is no property.
    for (const path of selected?.others ?? []) builder.addSelect(`${ALIAS}.${path}`);
    const joins = builder.expressionMap.joinAttributes.length > 0;
    if (lock?.lock !== undefined && Object.keys(builder.expressionMap.allOrderBys).length === 0) {
      // Two who lock the same rows must take them in the same order.
      for (const column of mapping.keyColumns) builder.addOrderBy(`${ALIAS}.${column.path}`, 'ASC');
    }
    if (joins && (isSet(options.skip) || isSet(options.take))) this.#turnToPage(mapping, builder);
    const [text, values] = builder.getQueryAndParameters();
    return {
      statement: {
        text: text + lockClause(lock, this.#dataSource.driver.escape(ALIAS)),
        values: values as unknown[],
        rowMode: 'array',
      },
      reader: answerReader(mapping),
      mayRepeat: joins,
      relations,
      selects: relationSelects(mapping, options.select, relations),
    };
  }

  relationPaths(mapping: EntityMapping, relations: unknown): string[] {
    return relationPaths(mapping, { relations, loadEagerRelations: false } as Options);
  }

  createQueryBuilder(mapping: EntityMapping, alias: string, host: BuilderHost): SelectQueryBuilder<ObjectLiteral> {
    return sessionQueryBuilder(this.#dataSource, this.#mappings, mapping, alias, host as never);
  }

  count(mapping: EntityMapping, given: object): Statement {
    const { text, values, joins } = this.#bare(mapping, given);
    const keys = mapping.keyColumns.map((column) => this.#dataSource.driver.escape(`${ALIAS}_${column.name}`));
    const counted = joins ? `(SELECT DISTINCT ${keys.join(', ')} FROM (${text}) AS found)` : `(${text})`;
    return { text: `SELECT count(*)::int FROM ${counted} AS counted`, values, rowMode: 'array' };
  }

  exists(mapping: EntityMapping, given: object): Statement {
    const { text, values } = this.#bare(mapping, given);
    return { text: `SELECT EXISTS (${text})`, values, rowMode: 'array' };
  }

  matching(mapping: EntityMapping, given: object): MatchingKeys {
    const { driver } = this.#dataSource;
    return {
      ...this.#bare(mapping, given),
      keys: mapping.keyColumns.map((column) => driver.escape(`${ALIAS}_${column.name}`)),
      alias: driver.escape(ALIAS),
    };
  }

  #bare(
    mapping: EntityMapping,
    given: object,
  ): { text: string; values: unknown[]; joins: boolean; isUnordered: boolean } {
    const { where, withDeleted } = given as Options;
    const keys = Object.fromEntries(mapping.keyColumns.map((column) => [column.path, true]));
    const builder = this.#builder(mapping, {
      ...(where === undefined ? {} : { where }),
      ...(withDeleted === undefined ? {} : { withDeleted }),
      select: nested(Object.keys(keys)),
    });
    const [text, values] = builder.getQueryAndParameters();
    return {
      text,
      values: values as unknown[],
      joins: builder.expressionMap.joinAttributes.length > 0,
      isUnordered: Object.keys(builder.expressionMap.allOrderBys).length === 0,
    };
  }

  /**
   * Keeps a query whose joins repeat its entities to one page of them. A limit of the query itself would count rows,
   * so the keys of the page are found within the same statement: each entity stands where its first row does.
   */
  #turnToPage(mapping: EntityMapping, builder: SelectQueryBuilder<ObjectLiteral>): void {
    const { driver } = this.#dataSource;
    const { skip, take } = builder.expressionMap;
    const order = { ...builder.expressionMap.allOrderBys };
    // Without an order that leaves nothing open, two pages could share an entity.
    for (const column of mapping.keyColumns) order[`${ALIAS}.${column.path}`] ??= 'ASC';
    builder.orderBy(order);
    // Of what a query selects by name TypeORM orders by the name, which a window does not know.
    const ordered = builder.clone().select('1', 'one').getQuery();
    const unordered = builder.clone().select('1', 'one').orderBy().setOption('disable-global-order');
    const orderBy = ordered.slice(unordered.getQuery().length);
    const keys = mapping.keyColumns.map((column) => `${driver.escape(ALIAS)}.${column.sql}`);
    unordered.select(`row_number() OVER (${orderBy})`, 'n').addSelect(keys.map((key, at) => `${key} AS k${at}`));
    const names = keys.map((_, at) => `r.k${at}`).join(', ');
    const limits = `${isSet(take) ? ` LIMIT ${take}` : ''}${isSet(skip) ? ` OFFSET ${skip}` : ''}`;
    builder.innerJoin(
      `(SELECT ${names} FROM (${unordered.getQuery()}) AS r GROUP BY ${names} ORDER BY min(r.n)${limits})`,
      'page',
      keys.map((key, at) => `${key} = ${driver.escape('page')}.k${at}`).join(' AND '),
    );
  }

  #builder(mapping: EntityMapping, options: Record<string, unknown>): SelectQueryBuilder<ObjectLiteral> {
    for (const refused of REFUSED_OPTIONS) {
      if (options[refused.name] === undefined) continue;
      throw new InvalidSessionOperationError(`find of ${mapping.name}: the option "${refused.name}" ${refused.why}.`);
    }
    const own = { ...options, loadEagerRelations: false };
    for (const name of SESSION_OPTIONS) Reflect.deleteProperty(own, name);
    const { metadata } = mapping as CompiledMapping;
    return this.#dataSource.createQueryBuilder<ObjectLiteral>(metadata.target, ALIAS).setFindOptions(own);
  }
}

/** Options that the session applies itself. */
const SESSION_OPTIONS = [
  'relations',
  'lock',
  'nowait',
  'skipLocked',
  'cache',
  'transaction',
  'relationLoadStrategy',
  'populateExisting',
  'readOnly',
];

const REFUSED_OPTIONS = [
  { name: 'join', why: 'is not supported; use relations' },
  {
    name: 'loadRelationIds',
    why: 'is not supported, since a relation of a tracked object holds objects; use relations',
  },
];

/** As in TypeORM, a limit of 0 is none. */
function isSet(limit: number | undefined): limit is number {
  return limit !== undefined && limit > 0;
}

/** The selected columns, with what tracking needs: properties as TypeORM's tree, and the paths of others. */
function selectOf(
  mapping: EntityMapping,
  given: unknown,
  relations: readonly string[],
): { properties: object; others: string[] } | undefined {
  const asked = Array.isArray(given) ? nested(given as string[]) : given;
  if (typeof asked !== 'object' || asked === null) return undefined;
  const { metadata } = mapping as CompiledMapping;
  const virtual = metadata.columns.filter(
    (column) => column.isVirtualProperty && valueAt(asked, column.propertyPath) === true,
  );
  const columns = selectedColumns(mapping, asked, relations, '');
  if (columns === null) return undefined;
  const own = columns.filter((column) => column.isProperty);
  return {
    properties: nested([...own.map((column) => column.path), ...virtual.map((column) => column.propertyPath)]),
    others: columns.filter((column) => !column.isProperty).map((column) => column.path),
  };
}

/** The columns to read of related objects, for relations whose selection names columns. */
function relationSelects(mapping: EntityMapping, given: unknown, relations: readonly string[]): RelationSelects {
  const selects = new Map<string, readonly ColumnMapping[]>();
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return selects;
  for (const path of relations) {
    const asked = valueAt(given, path);
    const target = relationAt(mapping, path)?.target;
    if (typeof asked !== 'object' || asked === null || target === undefined) continue;
    const columns = selectedColumns(target, asked, relations, `${path}.`);
    if (columns !== null) selects.set(path, columns);
  }
  return selects;
}

/**
 * The columns that a selection names, with the key, the version, the discriminator, and what the relations below have
 * to know; null where it names none, which selects all.
 */
function selectedColumns(
  mapping: EntityMapping,
  asked: object,
  relations: readonly string[],
  prefix: string,
): readonly ColumnMapping[] | null {
  const columns = mapping.columns.filter((column) => column.isProperty && valueAt(asked, column.path) === true);
  if (columns.length === 0) return null;
  const needed = [mapping.version, mapping.discriminator].filter((column) => column !== null);
  const below = relations.flatMap((path) => {
    if (!path.startsWith(prefix)) return [];
    const relation = mapping.relations.find((one) => `${prefix}${one.path}` === path);
    if (relation === undefined) return [];
    if (relation.isOwningToOne) return relation.joinColumns;
    if (relation.junction !== null) return relation.junctionSource.map(({ referenced }) => referenced);
    return relation.inverse?.referencedColumns ?? [];
  });
  return [...new Set([...columns, ...mapping.keyColumns, ...needed, ...below])].filter((column) =>
    mapping.columns.some((own) => own === column),
  );
}

/** The relation at the end of a path. */
function relationAt(mapping: EntityMapping, path: string): RelationMapping | undefined {
  for (const relation of mapping.hierarchy.flatMap((one) => one.relations)) {
    if (path === relation.path) return relation;
    if (!path.startsWith(`${relation.path}.`)) continue;
    const found = relationAt(relation.target, path.slice(relation.path.length + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `{ address: { city: true } }` of `address.city`. */
function nested(paths: readonly string[]): object {
  const tree: Record<string, unknown> = {};
  for (const path of paths) {
    const names = path.split('.');
    const last = names.pop()!;
    let at = tree;
    for (const name of names) at = (at[name] ??= {}) as Record<string, unknown>;
    at[last] = true;
  }
  return tree;
}

function valueAt(tree: object, path: string): unknown {
  let at: unknown = tree;
  for (const name of path.split('.')) {
    if (at === true) return true;
    at = (at as Record<string, unknown> | undefined)?.[name];
  }
  return at;
}

/**
 * Gives the reader of an answer: where each column of the mapping stands in it, by the aliases that TypeORM gives. Only
 * the last answer's columns are remembered, since each part of a stream has a list of its own.
 */
function answerReader(mapping: EntityMapping): (result: StatementResult) => RowReader {
  let last: { readonly fields: StatementResult['fields']; readonly reader: RowReader } | null = null;
  return ({ fields }) => {
    if (last?.fields !== fields) {
      const byName = new Map(fields.map((field, at) => [field.name, at]));
      const reader = (mapping as CompiledMapping).readerByName((name) => byName.get(`${ALIAS}_${name}`) ?? -1);
      last = { fields, reader };
    }
    return last.reader;
  };
}

/** Asked-for and eager relations as paths, outer ones first. */
function relationPaths(mapping: EntityMapping, options: Options): string[] {
  const paths = new Set<string>();
  const collect = (tree: unknown, at: EntityMapping, prefix: string, embedded = ''): void => {
    if (Array.isArray(tree)) {
      for (const path of tree as string[]) paths.add(prefix + path);
    } else if (typeof tree === 'object' && tree !== null) {
      for (const [name, wanted] of Object.entries(tree)) {
        if (wanted === undefined || wanted === false) continue;
        const path = embedded + name;
        const known = at.hierarchy.flatMap((one) => one.relations);
        if (known.some((one) => one.path.startsWith(`${path}.`))) {
          collect(wanted, at, `${prefix}${name}.`, `${path}.`);
          continue;
        }
        paths.add(prefix + name);
        const relation = known.find((one) => one.path === path);
        if (relation !== undefined) collect(wanted, relation.target, `${prefix}${name}.`);
      }
    }
  };
  collect(options.relations, mapping, '');
  if (options.loadEagerRelations !== false) addEager(mapping, '', paths, new Set());
  return [...paths];
}

function addEager(mapping: EntityMapping, prefix: string, paths: Set<string>, above: Set<EntityMapping>): void {
  if (above.has(mapping)) return;
  for (const relation of mapping.relations) {
    if (!relation.eager) continue;
    paths.add(prefix + relation.path);
    addEager(relation.target, `${prefix}${relation.path}.`, paths, new Set([...above, mapping]));
  }
}
