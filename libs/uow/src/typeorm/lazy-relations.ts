import type { DataSource } from 'typeorm';

/** Loads a relation for the session that an object belongs to; null for an object that belongs to none. */
export type LoadThroughSession = (entity: object, path: string) => Promise<unknown> | null;

/**
 * Lets lazy relations of a session's objects be loaded through their session when they are awaited, so that
 * what they give are the session's own objects. Other objects are served by TypeORM as ever. Only the data
 * source's own loader is touched.
 *
 * @returns what undoes it
 */
export function serveLazyRelations(dataSource: DataSource, load: LoadThroughSession): () => void {
  const loader = dataSource.relationLoader;
  const ofTypeOrm = Object.getPrototypeOf(loader) as typeof loader;
  loader.load = function (this: typeof loader, ...args: Parameters<typeof loader.load>): Promise<never[]> {
    const [relation, entity] = args;
    const loaded = Array.isArray(entity) ? null : load(entity, relation.propertyPath);
    return loaded === null
      ? (ofTypeOrm.load.apply(this, args) as Promise<never[]>)
      : loaded.then((value) => (value == null ? [] : Array.isArray(value) ? value : [value]) as never[]);
  };
  return () => {
    Reflect.deleteProperty(loader, 'load');
  };
}
