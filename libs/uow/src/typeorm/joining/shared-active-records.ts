import { BaseEntity } from 'typeorm';
import type { DataSource } from 'typeorm';
import { SharedActiveRecordError } from '../../errors/module-errors.js';

/**
 * Active-record classes (`class User extends BaseEntity`) know one data source: the one that was initialized
 * last. Where two of one application have the same class, its statics would silently work on one of them;
 * they are refused by name instead. Repositories are not concerned.
 */

/** The static side of an active record; TypeORM keeps the data source in a private static field. */
interface ActiveRecord {
  readonly name: string;
  dataSource?: DataSource | null;
  useDataSource(dataSource: DataSource): void;
}

interface Named {
  readonly name: string;
  readonly dataSource: DataSource;
}

/**
 * Makes the statics of classes that both data sources have throw SharedActiveRecordError.
 * @returns gives the classes back what they had
 */
export function refuseSharedActiveRecords(one: Named, other: Named): () => void {
  const taken: { record: ActiveRecord; had: DataSource }[] = [];
  for (const { target } of one.dataSource.entityMetadatas) {
    const record = asActiveRecord(target);
    if (record === null || !other.dataSource.hasMetadata(target)) continue;
    const had = record.dataSource;
    if (had == null) continue;
    taken.push({ record, had });
    record.useDataSource(refusing(had, record.name, one.name, other.name));
  }
  return () => {
    for (const { record, had } of taken) record.useDataSource(had);
  };
}

function refusing(dataSource: DataSource, entity: string, one: string, other: string): DataSource {
  const refuse = (): never => {
    throw new SharedActiveRecordError(
      `${entity} is an active record of the data sources "${one}" and "${other}", but its statics and save() can know only one of them. ` +
        `Use repositories (@InjectRepository(${entity}, '${other}')), or give each data source a class of its own.`,
    );
  };
  return Object.create(dataSource, {
    manager: { get: refuse },
    getRepository: { value: refuse },
  }) as DataSource;
}

function asActiveRecord(target: unknown): ActiveRecord | null {
  return typeof target === 'function' && target.prototype instanceof BaseEntity
    ? (target as unknown as ActiveRecord)
    : null;
}
