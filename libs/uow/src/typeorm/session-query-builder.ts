import type { DataSource, ObjectLiteral, QueryRunner, SelectQueryBuilder } from 'typeorm';
import type { EntityMapping, EntityMappings } from '../database/entity-mapping.js';
import type { BuilderHost as Host } from '../database/loading.js';
import { isServerError, toDatabaseError } from '../database/postgres-error.js';
import type { PhysicalTransaction } from '../transaction/physical-transaction.js';
import { transactionRunner } from './transaction-runner.js';

/**
 * TypeORM's builder on a session: its statements run in the session's transaction, after an autoflush, and the
 * entities that it finds are the session's own. Only the one instance is changed, and the instances that it makes.
 */

type BuilderHost = Host<PhysicalTransaction>;
type Method = (...parameters: unknown[]) => unknown;
type Methods = Record<string, Method>;

interface Found {
  readonly entities: object[];
  readonly raw: Record<string, unknown>[];
}

const READS = ['getRawAndEntities', 'getManyAndCount', 'getRawMany', 'getCount', 'getExists', 'stream'];
const WRITERS = ['update', 'delete', 'insert', 'softDelete', 'restore'];
const LOCKING = /^(pessimistic|for_)/;

/** Makes a builder for a session. */
export function sessionQueryBuilder(
  dataSource: DataSource,
  mappings: EntityMappings,
  mapping: EntityMapping,
  alias: string,
  host: BuilderHost,
): SelectQueryBuilder<ObjectLiteral> {
  const builder = dataSource.createQueryBuilder<ObjectLiteral>(mapping.target, alias);
  adaptSelect(dataSource, mappings, builder, host);
  return builder;
}

function adaptSelect(
  dataSource: DataSource,
  mappings: EntityMappings,
  builder: SelectQueryBuilder<ObjectLiteral>,
  host: BuilderHost,
): void {
  const methods = builder as unknown as Methods;
  methods['obtainQueryRunner'] = () => {
    const isLocking = LOCKING.test(builder.expressionMap.lockMode ?? '');
    return runnerOf(dataSource, host.transaction(isLocking ? 'lock' : 'read'));
  };
  for (const name of READS) {
    const own = methods[name]!;
    methods[name] = (...parameters) => inSession(host, () => own.apply(builder, parameters));
  }
  const execute = methods['executeEntitiesAndRawResults']!;
  methods['executeEntitiesAndRawResults'] = async (...parameters) => {
    const found = (await execute.apply(builder, parameters)) as Found;
    return { ...found, entities: adopt(mappings, builder, found, host) };
  };
  const clone = methods['clone']!;
  methods['clone'] = (...parameters) => {
    const copy = clone.apply(builder, parameters) as SelectQueryBuilder<ObjectLiteral>;
    adaptSelect(dataSource, mappings, copy, host);
    return copy;
  };
  for (const name of WRITERS) {
    const own = methods[name]!;
    methods[name] = (...parameters) => {
      const writer = own.apply(builder, parameters) as object;
      adaptWriter(dataSource, writer, host);
      return writer;
    };
  }
}

function adaptWriter(dataSource: DataSource, writer: object, host: BuilderHost): void {
  const methods = writer as Methods;
  methods['obtainQueryRunner'] = () => runnerOf(dataSource, host.transaction('write'));
  const execute = methods['execute']!;
  methods['execute'] = (...parameters) =>
    inSession(host, async () => {
      const result = await execute.apply(writer, parameters);
      const { mainAlias } = (writer as SelectQueryBuilder<ObjectLiteral>).expressionMap;
      host.wrote(mainAlias?.hasMetadata === true ? mainAlias.metadata.target : undefined);
      return result;
    });
}

async function inSession(host: BuilderHost, work: () => unknown): Promise<unknown> {
  await host.autoflush();
  try {
    return await work();
  } catch (error) {
    const driverError = (error as { driverError?: unknown }).driverError;
    throw isServerError(driverError) ? toDatabaseError(driverError, error) : error;
  }
}

/** A query runner whose statements go to the transaction; TypeORM's own, from the pool, outside one. */
function runnerOf(dataSource: DataSource, transaction: PhysicalTransaction | null): QueryRunner {
  return transaction === null ? dataSource.createQueryRunner() : transactionRunner(dataSource, transaction);
}

/** Brings what was found into the session: rows first, then the objects in the shape that the builder gave them. */
function adopt(
  mappings: EntityMappings,
  builder: SelectQueryBuilder<ObjectLiteral>,
  { entities, raw }: Found,
  host: BuilderHost,
): object[] {
  const sample = raw[0];
  if (sample === undefined) return entities;
  for (const alias of builder.expressionMap.aliases) {
    if (!alias.hasMetadata || alias.metadata.isJunction) continue;
    const mapping = mappings.of(alias.metadata.target);
    const names = mapping.columns.map((column) => `${alias.name}_${column.name}`);
    const hasKey = mapping.keyColumns.every((column) => Object.hasOwn(sample, names[column.index] ?? ''));
    if (!hasKey) continue;
    const reader = mapping.readerFor(names.map((name, at) => (name in sample ? at : -1)));
    for (const row of raw) {
      const values = names.map((name) => row[name]);
      host.absorb(mapping, reader, values);
    }
  }
  const replaced = new Map<object, object>();
  return entities.map((entity) => replacement(mappings, entity, replaced, host));
}

/** The session's object for one that TypeORM made, with the relations that the query has loaded. */
function replacement(mappings: EntityMappings, made: object, replaced: Map<object, object>, host: BuilderHost): object {
  const known = replaced.get(made);
  if (known !== undefined) return known;
  const mapping = mappings.ofEntity(made);
  const key = mapping?.keyOf(made) ?? null;
  const own = mapping === null || key === null ? null : host.known(mapping, key);
  replaced.set(made, own ?? made);
  if (mapping === null || own === null) return made;
  for (const relation of mapping.relations) {
    const value = relation.get(made);
    if (value === undefined) continue;
    const related = Array.isArray(value)
      ? (value as object[]).map((item) => replacement(mappings, item, replaced, host))
      : value === null
        ? null
        : replacement(mappings, value, replaced, host);
    host.relate(own, relation, related);
  }
  return own;
}
