import { DataSource } from 'typeorm';

/**
 * The token under which `@nestjs/typeorm` provides a data source: the class for the default one, a text for a
 * named one. That package is not needed; whoever provides a data source under these tokens is found.
 *
 * @param name `undefined` or `default` for the default data source
 */
export function dataSourceToken(name: string | undefined): typeof DataSource | string {
  return name === undefined || name === 'default' ? DataSource : `${name}DataSource`;
}

/** True for a TypeORM data source, also one of another copy of TypeORM. */
export function isDataSource(value: unknown): value is DataSource {
  return (
    value instanceof DataSource ||
    (typeof value === 'object' &&
      value !== null &&
      (value as { '@instanceof'?: symbol })['@instanceof'] === Symbol.for('DataSource'))
  );
}
