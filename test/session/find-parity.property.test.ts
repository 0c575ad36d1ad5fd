import fc from 'fast-check';
import { In, IsNull, LessThan, Like, MoreThan, Not } from 'typeorm';
import type { EntityMetadata, FindManyOptions, ObjectLiteral } from 'typeorm';
import { Author, Book, Label, Manual, Novel, Review, findEntities, findRows } from './find-entities.js';
import { SessionUnderTest } from './session-under-test.js';

/**
 * Random find options give the same objects from a session as from a repository. Where the two differ on purpose is
 * left out: a session loads a relation whole, whatever the conditions on it, and sorts it by key.
 */

type Conditions = Record<string, unknown>;
type Case = readonly [new () => object, FindManyOptions<ObjectLiteral>];

const runs = Number(process.env['FIND_RUNS'] ?? 150);
const seed = Number(process.env['FIND_SEED'] ?? 11);

const joined = new Date('2026-03-30T12:00:00Z');

const authorConditions: Conditions[] = [
  { name: Like('%3') },
  { name: In(['author 1', 'author 2', 'author 9']) },
  { fans: MoreThan(100_000_000_000n) },
  { rating: IsNull() },
  { active: true },
  { born: LessThan('1950-03-10') },
  { joined: MoreThan(joined) },
  { seen: Not(IsNull()) },
  { home: { city: 'city 1' } },
  { home: { since: IsNull() } },
  { account: { version: LessThan(9) } },
  { id: In([1, 2, 3, 5, 8, 13]) },
];
const bookConditions: Conditions[] = [
  { title: Like('book 1%') },
  { year: IsNull() },
  { year: MoreThan(1995) },
  { author: { active: true } },
  { author: { home: { city: Not('city 2') } } },
];

interface Kind {
  readonly target: new () => object;
  readonly conditions: readonly Conditions[];
  readonly relations: readonly string[];
  readonly selectable: readonly (readonly string[])[];
  readonly orders: readonly string[];
  readonly keys: readonly string[];
}

const kinds: readonly Kind[] = [
  {
    target: Author,
    conditions: authorConditions,
    relations: ['books', 'account', 'books.labels', 'books.reviews', 'account.author'],
    selectable: [['name'], ['fans', 'joined'], ['portrait'], ['home'], ['tongues', 'profile', 'seen']],
    orders: ['name', 'rating', 'joined', 'home.city'],
    keys: ['id'],
  },
  ...[Book, Novel, Manual].map((target) => ({
    target,
    conditions: bookConditions,
    relations: ['author', 'labels', 'reviews', 'author.account', 'author.books'],
    // TypeORM takes a row for its parent's class when the column that tells the class is not selected.
    selectable: target === Book ? [] : [['title'], ['year', 'title']],
    orders: ['year', 'title'],
    keys: ['id'],
  })),
  {
    target: Review,
    conditions: [{ paper: 'Post' }, { number: MoreThan(20) }, { book: { title: Like('book 2%') } }],
    relations: ['book', 'book.author', 'book.labels'],
    selectable: [['took'], ['deletedAt']],
    orders: ['paper', 'took'],
    keys: ['number', 'paper'],
  },
  {
    target: Label,
    conditions: [{ name: Like('%2') }, { name: Not('label 5') }],
    relations: ['books', 'books.author', 'books.author.account'],
    selectable: [['name']],
    orders: [],
    keys: ['name'],
  },
];

/** `{ home: { city: value } }` of `home.city`. */
function nested(paths: readonly string[], value: unknown): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const path of paths) {
    const names = path.split('.');
    const last = names.pop()!;
    let at = tree;
    for (const name of names) at = (typeof at[name] === 'object' ? at[name] : (at[name] = {})) as typeof tree;
    at[last] ??= value;
  }
  return tree;
}

/** Relations whose conditions would narrow what TypeORM loads of them. */
function isFree(relation: string, where: readonly Conditions[]): boolean {
  return !where.some((conditions) => Object.hasOwn(conditions, relation.split('.', 1).join()));
}

function optionsOf(kind: Kind): fc.Arbitrary<Case> {
  const where = fc.array(
    fc
      .uniqueArray(fc.constantFrom(...kind.conditions), { minLength: 1, maxLength: 2 })
      .map((some) => Object.assign({}, ...some) as Conditions),
    { maxLength: 2 },
  );
  return fc
    .record({
      where,
      relations: fc.subarray([...kind.relations], { maxLength: 3 }),
      select:
        kind.selectable.length === 0 ? fc.constant(null) : fc.option(fc.constantFrom(...kind.selectable), { freq: 2 }),
      order: fc.option(fc.constantFrom(...kind.orders, 'none'), { freq: 2 }),
      direction: fc.constantFrom('ASC' as const, 'DESC' as const),
      skip: fc.option(fc.nat(8), { freq: 3 }),
      take: fc.option(fc.integer({ min: 1, max: 9 }), { freq: 2 }),
      withDeleted: fc.boolean(),
    })
    .map(({ where: conditions, relations, select, order, direction, skip, take, withDeleted }) => {
      const orders = order === null || order === 'none' ? [] : [order];
      const chosen = relations.filter((relation) => isFree(relation, conditions));
      const options = {
        ...(conditions.length === 0 ? {} : { where: conditions }),
        ...(chosen.length === 0 ? {} : { relations: nested(chosen, true) }),
        // TypeORM cannot page by a column that is not selected.
        ...(select === null ? {} : { select: nested([...select, ...kind.keys, ...orders], true) }),
        order: {
          ...nested(orders, direction),
          ...nested(
            kind.keys.filter((key) => !orders.includes(key)),
            'ASC',
          ),
        },
        ...(skip === null ? {} : { skip }),
        ...(take === null ? {} : { take }),
        ...(withDeleted ? { withDeleted } : {}),
      };
      return [kind.target, options as FindManyOptions<ObjectLiteral>] as const;
    });
}

let env: SessionUnderTest;
beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: findEntities });
  await env.dataSource.query(findRows);
});
afterAll(() => env.stop());

/** An object as plain values: its class, its columns where TypeORM has them, and the relations that were asked for. */
function shown(entity: object, like: object, relations: unknown): unknown {
  const metadata: EntityMetadata = env.dataSource.getMetadata(entity.constructor);
  const values: Record<string, unknown> = { class: entity.constructor.name };
  for (const column of metadata.columns) {
    if (column.relationMetadata !== undefined || column.isDiscriminator) continue;
    if (column.getEntityValue(like) === undefined) continue;
    const value: unknown = column.getEntityValue(entity);
    values[column.propertyPath] = isInterval(value) ? value.toPostgres() : value;
  }
  for (const [name, inner] of Object.entries((relations ?? {}) as Record<string, unknown>)) {
    const value = (entity as Record<string, unknown>)[name];
    const model = (like as Record<string, unknown>)[name];
    values[name] =
      Array.isArray(value) && Array.isArray(model)
        ? byKey(value as object[]).map((item, at) => shown(item, byKey(model as object[])[at] ?? item, inner))
        : typeof value === 'object' && value !== null
          ? shown(value, model ?? value, inner)
          : value;
  }
  return values;
}

/** pg's intervals carry functions, which equal no others. */
function isInterval(value: unknown): value is { toPostgres(): string } {
  return typeof (value as { toPostgres?: unknown } | null)?.toPostgres === 'function';
}

function byKey(entities: readonly object[]): object[] {
  const keyOf = (entity: object): string => {
    const key = Object.values(env.dataSource.getMetadata(entity.constructor).getEntityIdMap(entity) ?? {});
    return key.map((part) => String(part).padStart(20)).join();
  };
  return entities.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

async function sameFrom(target: new () => object, options: FindManyOptions<ObjectLiteral>): Promise<void> {
  const theirs = await env.dataSource.getRepository(target).find(options);
  const session = env.factory.open();
  try {
    const ours = await session.find<object>(target, options as never);
    const show = (entities: readonly object[]): unknown[] =>
      entities.map((entity, at) => shown(entity, theirs[at] ?? entity, options.relations));
    expect(show(ours)).toStrictEqual(show(theirs));
    // Read once more, now that the session has them all.
    const again = await session.find<object>(target, options as never);
    expect(again).toHaveLength(ours.length);
    again.forEach((entity, at) => expect(entity).toBe(ours[at]));
    expect(session.dirty).toEqual([]);
  } finally {
    await session.close();
  }
}

test('random find options give what a repository gives', async () => {
  const cases = fc.oneof(...kinds.map(optionsOf));
  await fc.assert(
    fc.asyncProperty(cases, ([target, options]) => sameFrom(target, options)),
    { numRuns: runs, seed },
  );
}, 120_000);

test('a page over joins can be ordered by columns that are selected by name', async () => {
  await sameFrom(Review, {
    where: { book: { title: Like('book 2%') } },
    select: { number: true, paper: true },
    order: { number: 'ASC', paper: 'ASC' },
    take: 2,
  });
});

test.each(kinds)('all of $target.name, with all relations', async ({ target, relations, keys }) => {
  const all = { relations: nested(relations, true), order: nested(keys, 'ASC') } as FindManyOptions<ObjectLiteral>;
  await sameFrom(target, all);
  await sameFrom(target, { ...all, withDeleted: true });
});
