import { BaseEntity } from 'typeorm';
import type { DataSource } from 'typeorm';
import { SharedActiveRecordError } from '../../errors/module-errors.js';

/**
 * Active-record classes (`class User extends BaseEntity`) know one data source: the one that was initialized
 * last. Where two of one application have the same class, its statics would silently work on one of them;
 * they are refused by name instead. Repositories are not concerned.
 */

type ActiveRecord = typeof BaseEntity & { dataSource?: DataSource | null };

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
    if (!isActiveRecord(target) || !other.dataSource.hasMetadata(target)) continue;
    const had = target.dataSource;
    if (had == null || taken.some(({ record }) => record === target)) continue;
    taken.push({ record: target, had });
    target.useDataSource(refusing(had, target.name, one.name, other.name));
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

function isActiveRecord(target: unknown): target is ActiveRecord {
  return typeof target === 'function' && target.prototype instanceof BaseEntity;
}
