import type { DbSession } from '../../libs/uow/src/session/db-session.js';
import { createTestDatabase } from '../support/test-database.js';
import type { TestDatabase } from '../support/test-database.js';
import {
  Album,
  Artist,
  Customer,
  Employee,
  ENTITIES,
  Genre,
  Invoice,
  InvoiceLine,
  MediaType,
  Playlist,
  SCHEMA,
  Track,
} from './sample-database-entities.js';
import { SessionUnderTest } from './session-under-test.js';

/**
 * A schema that nobody designed for this library: Chinook's. It is filled through a session, changed at random through
 * sessions, and a twin of it by the same changes in plain SQL; afterwards both hold the same rows.
 */
const TABLES = [
  'artist',
  'album',
  'genre',
  'media_type',
  'track',
  'playlist',
  'playlist_track',
  'employee',
  'customer',
  'invoice',
  'invoice_line',
];

let env: SessionUnderTest;
let twin: TestDatabase;

/** Numbers that look random and are the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const make = <T extends object>(target: new () => T, values: Partial<T>): T => Object.assign(new target(), values);
const times = <T>(count: number, fn: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => fn(at));

async function fill(session: DbSession): Promise<void> {
  const random = numbers(1);
  const one = <T>(from: readonly T[]): T => from[random(from.length)]!;
  const genres = times(10, (at) => make(Genre, { name: `Genre ${at}` }));
  const media = times(3, (at) => make(MediaType, { name: `Medium ${at}` }));
  const artists = times(20, (at) => make(Artist, { name: `Artist ${at}` }));
  const albums = times(40, (at) => make(Album, { title: `Album ${at}`, artist: one(artists) }));
  const tracks = times(300, (at) =>
    make(Track, {
      name: `Track “${at}”`,
      album: one(albums),
      mediaType: one(media),
      genre: at % 7 === 0 ? null : one(genres),
      composer: at % 3 === 0 ? null : `Composer ${random(50)}, {jr.} \\ "x"`,
      milliseconds: 1_000 + random(300_000),
      unitPrice: at % 5 === 0 ? '1.99' : '0.99',
    }),
  );
  const playlists = times(6, (at) =>
    make(Playlist, { name: `List ${at}`, tracks: [...new Set(times(30, () => one(tracks)))] }),
  );
  const boss = make(Employee, { lastName: 'Adams', firstName: 'Ada', reportsTo: null });
  const staff = times(6, (at) =>
    make(Employee, {
      lastName: `Staff ${at}`,
      firstName: 'S',
      reportsTo: boss,
      hireDate: new Date(Date.UTC(2020, at, 1, 12, 0, 0, 123)),
    }),
  );
  const customers = times(30, (at) =>
    make(Customer, {
      firstName: `First ${at}`,
      lastName: `Last ${at}`,
      country: one(['Norway', 'Chile', 'Kenya', null]),
      email: `${at}@example.test`,
      supportRep: one(staff),
    }),
  );
  const invoices = times(60, () =>
    invoice(
      one(customers),
      times(1 + random(5), () => one(tracks)),
    ),
  );
  session.addAll([
    ...genres,
    ...media,
    ...artists,
    ...albums,
    ...tracks,
    ...playlists,
    boss,
    ...staff,
    ...customers,
    ...invoices,
  ]);
  await session.commit();
}

function invoice(customer: Customer, tracks: readonly Track[]): Invoice {
  const cents = tracks.reduce((sum, { unitPrice }) => sum + Math.round(Number(unitPrice) * 100), 0);
  return make(Invoice, {
    customer,
    invoiceDate: new Date(Date.UTC(2024, 0, 1)),
    billingCountry: customer.country,
    total: (cents / 100).toFixed(2),
    lines: tracks.map((track) => make(InvoiceLine, { track, unitPrice: track.unitPrice, quantity: 1 })),
  });
}

beforeAll(async () => {
  env = await SessionUnderTest.start({ entities: ENTITIES, schema: SCHEMA });
  twin = await createTestDatabase({ schema: SCHEMA });
  await using session = env.factory.open();
  await fill(session);
  for (const table of TABLES) {
    const rows = await asJson(table);
    await twin.query(`INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, $1)`, [
      JSON.stringify(rows),
    ]);
    expect(rows.length).toBeGreaterThan(0);
  }
});
afterAll(async () => {
  await env.stop();
  await twin.drop();
});

async function asJson(table: string): Promise<unknown[]> {
  const [row] = await env.database.query<{ rows: unknown[] }>(`SELECT json_agg(t) AS rows FROM ${table} AS t`);
  return row!.rows;
}

async function dump(database: TestDatabase): Promise<Record<string, unknown[]>> {
  const rows: Record<string, unknown[]> = {};
  for (const table of TABLES) rows[table] = await database.query(`SELECT t::text AS row FROM ${table} AS t ORDER BY 1`);
  return rows;
}

test('it is filled with one INSERT for each table, whatever their number of rows', async () => {
  const fresh = await SessionUnderTest.start({ entities: ENTITIES, schema: SCHEMA });
  try {
    await using session = fresh.factory.open();
    fresh.sent();
    await fill(session);
    const inserted = fresh
      .statements()
      .flatMap((sql) => [...sql.matchAll(/INSERT INTO "(\w+)"/g)].map(([, table]) => table));
    // Two shapes of employee: with the date of hire and without; the boss is inserted before those who report.
    expect(inserted.filter((table) => table !== 'employee').sort()).toEqual(
      TABLES.filter((table) => table !== 'employee').sort(),
    );
    expect(inserted.filter((table) => table === 'employee')).toHaveLength(2);
    expect(await dump(fresh.database)).toEqual(await dump(env.database));
  } finally {
    await fresh.stop();
  }
});

test('what sessions load adds up to what SQL says', async () => {
  await using session = env.factory.open();
  const customers = await session.find(Customer, {
    relations: { invoices: { lines: { track: { album: { artist: true } } } } },
  });
  const byArtist = new Map<string, number>();
  for (const { invoices } of customers) {
    for (const line of invoices.flatMap(({ lines }) => lines)) {
      const { name } = line.track.album!.artist;
      byArtist.set(name!, (byArtist.get(name!) ?? 0) + Math.round(Number(line.unitPrice) * 100) * line.quantity);
    }
  }
  const rows = await env.database.query<{ name: string; cents: number }>(
    `SELECT artist.name, sum(invoice_line.unit_price * quantity * 100)::int AS cents
       FROM invoice_line JOIN track USING (track_id) JOIN album USING (album_id) JOIN artist USING (artist_id)
      GROUP BY 1`,
  );
  expect([...byArtist].sort()).toEqual(rows.map(({ name, cents }) => [name, cents]).sort());
  expect(session.dirty).toEqual([]);
});

interface Change {
  readonly name: string;
  /** Makes the change through the session, and says the same in SQL. */
  apply(session: DbSession, random: (below: number) => number): Promise<string[]>;
}

const pick = async <T extends object>(
  session: DbSession,
  target: new () => T,
  random: (below: number) => number,
): Promise<T> => {
  const all = await session.find(target, { order: { id: 'ASC' } as never });
  return all[random(all.length)]!;
};

const CHANGES: readonly Change[] = [
  {
    name: 'a new price for a genre',
    async apply(session, random) {
      const genre = await pick(session, Genre, random);
      const price = `${1 + random(3)}.${10 + random(89)}`;
      for (const track of await session.find(Track, { where: { genre: { id: genre.id } } })) track.unitPrice = price;
      return [`UPDATE track SET unit_price = ${price} WHERE genre_id = ${genre.id}`];
    },
  },
  {
    name: 'an album goes to another artist, by its collection',
    async apply(session, random) {
      const artists = await session.find(Artist, { relations: { albums: true }, order: { id: 'ASC' } });
      const from = artists.filter(({ albums }) => albums.length > 0)[random(3)]!;
      const to = artists[random(artists.length)]!;
      if (from === to) return [];
      const [album] = from.albums.splice(random(from.albums.length), 1);
      to.albums.push(album!);
      return [`UPDATE album SET artist_id = ${to.id} WHERE album_id = ${album!.id}`];
    },
  },
  {
    name: 'a playlist changes',
    async apply(session, random) {
      const [list] = await session.find(Playlist, { relations: { tracks: true }, order: { id: 'ASC' }, take: 1 });
      const track = await pick(session, Track, random);
      const at = list!.tracks.indexOf(track);
      if (at === -1) list!.tracks.push(track);
      else list!.tracks.splice(at, 1);
      return at === -1
        ? [`INSERT INTO playlist_track VALUES (${list!.id}, ${track.id})`]
        : [`DELETE FROM playlist_track WHERE playlist_id = ${list!.id} AND track_id = ${track.id}`];
    },
  },
  {
    name: 'an invoice is written',
    async apply(session, random) {
      const customer = await pick(session, Customer, random);
      const written = invoice(customer, [await pick(session, Track, random), await pick(session, Track, random)]);
      session.add(written);
      await session.flush();
      const country = written.billingCountry === null ? 'NULL' : `'${written.billingCountry}'`;
      return [
        `INSERT INTO invoice VALUES (${written.id}, ${customer.id}, '2024-01-01', ${country}, ${written.total})`,
        ...written.lines.map(
          (line) =>
            `INSERT INTO invoice_line VALUES (${line.id}, ${written.id}, ${line.track.id}, ${line.unitPrice}, 1)`,
        ),
      ];
    },
  },
  {
    name: 'an invoice is cancelled, its lines with it',
    async apply(session, random) {
      const cancelled = await pick(session, Invoice, random);
      await session.load(cancelled, { relations: ['lines'] });
      session.deleteAll(cancelled.lines);
      session.delete(cancelled);
      return [
        `DELETE FROM invoice_line WHERE invoice_id = ${cancelled.id}`,
        `DELETE FROM invoice WHERE invoice_id = ${cancelled.id}`,
      ];
    },
  },
  {
    name: 'somebody else is the boss',
    async apply(session, random) {
      const employee = await pick(session, Employee, random);
      const boss = await pick(session, Employee, random);
      employee.reportsTo = boss;
      employee.title = `reports to ${boss.lastName}`;
      return [
        `UPDATE employee SET reports_to = ${boss.id}, title = 'reports to ${boss.lastName}' WHERE employee_id = ${employee.id}`,
      ];
    },
  },
  {
    name: 'a customer gets another supporter, or none',
    async apply(session, random) {
      const customer = await pick(session, Customer, random);
      const supporter = random(3) === 0 ? null : await pick(session, Employee, random);
      customer.supportRep = supporter;
      return [
        `UPDATE customer SET support_rep_id = ${supporter === null ? 'NULL' : supporter.id} WHERE customer_id = ${customer.id}`,
      ];
    },
  },
];

test('random changes through sessions leave what the same changes in SQL leave', async () => {
  const random = numbers(Number(process.env.SAMPLE_DATABASE_SEED ?? 7));
  const applied = new Set<string>();
  let rolledBack = 0;
  for (let round = 0; round < Number(process.env.SAMPLE_DATABASE_ROUNDS ?? 25); round++) {
    await using session = env.factory.open();
    const statements: string[] = [];
    for (let at = 0; at < 1 + random(4); at++) {
      const change = CHANGES[random(CHANGES.length)]!;
      const savepoint = random(4) === 0 ? await session.beginNested() : null;
      const sql = await change.apply(session, random);
      if (savepoint !== null && random(2) === 0) {
        await savepoint.rollback();
        rolledBack += 1;
        continue;
      }
      await savepoint?.commit();
      statements.push(...sql);
      applied.add(change.name);
    }
    if (random(5) === 0) {
      await session.rollback();
      rolledBack += 1;
      continue;
    }
    await session.commit();
    if (statements.length > 0) await twin.query(statements.join('; '));
  }
  expect(applied.size).toBe(CHANGES.length);
  expect(rolledBack).toBeGreaterThan(2);
  expect(await dump(env.database)).toEqual(await dump(twin));
});
