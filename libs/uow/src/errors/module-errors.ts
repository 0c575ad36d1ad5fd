import { UowError } from './uow-error.js';

/** The data source is not PostgreSQL through node-postgres, or not connected: this library cannot work with it. */
export class UnsupportedDataSourceError extends UowError {
  readonly code = 'UOW_UNSUPPORTED_DATA_SOURCE';
}

/** No data source of this name is provided where the module looks for it. */
export class UnknownDataSourceError extends UowError {
  readonly code = 'UOW_UNKNOWN_DATA_SOURCE';
}

/** Two `UowModule.forRoot()` of one name, or two for one data source. */
export class DuplicateDataSourceError extends UowError {
  readonly code = 'UOW_DUPLICATE_DATA_SOURCE';
}

/** Under `joining: 'mandatory'`: a statement on this data source ran inside the transaction of another one. */
export class ForeignDataSourceError extends UowError {
  readonly code = 'UOW_FOREIGN_DATA_SOURCE';
}

/** A handler returned although its session had an open transaction or changes that were never flushed: answering "success" would lie. */
export class UncommittedWorkError extends UowError {
  readonly code = 'UOW_UNCOMMITTED_WORK';
}

/** An active-record class (`BaseEntity`) belongs to two data sources of one application; TypeORM's statics know only one of them. */
export class SharedActiveRecordError extends UowError {
  readonly code = 'UOW_SHARED_ACTIVE_RECORD';
}
