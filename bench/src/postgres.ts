import pg from 'pg';

/** The server that the benchmarks run on, and a database in it that is theirs alone. */
export interface BenchDatabase extends AsyncDisposable {
  readonly url: string;
  /** For example "18.4", and how it is set up. */
  readonly server: string;
}

const settings = {
  // Clients are compared, not disks: nobody waits for one.
  synchronous_commit: false,
  fsync: false,
  full_page_writes: false,
  autovacuum: false,
  max_connections: 300,
  shared_buffers: '512MB',
  max_wal_size: '4GB',
};

/** Starts a throwaway server, or goes to the one that DATABASE_URL names, and makes an empty database. */
export async function startBenchDatabase(): Promise<BenchDatabase> {
  const given = process.env['DATABASE_URL'];
  const { startEmbeddedPostgres } = await import('@nestjs-uow/embedded-postgres');
  const embedded = given === undefined || given === '' ? await startEmbeddedPostgres({ settings }) : undefined;
  const name = `uow_bench_${process.pid}`;
  const administer = async <T>(work: (client: pg.Client) => Promise<T>): Promise<T> => {
    const client = new pg.Client({ connectionString: embedded?.url() ?? given });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  };
  const version = await administer(async (client) => {
    await client.query(`CREATE DATABASE ${name} TEMPLATE template0`);
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    return rows[0]!.server_version;
  });
  const url = new URL(embedded?.url() ?? given!);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    server:
      embedded === undefined
        ? `PostgreSQL ${version}, given by DATABASE_URL`
        : `PostgreSQL ${version}, embedded; ${Object.entries(settings)
            .map(([key, value]) => `${key}=${value === false ? 'off' : value}`)
            .join(', ')}`,
    [Symbol.asyncDispose]: async () => {
      await administer((client) => client.query(`DROP DATABASE ${name} WITH (FORCE)`));
      await embedded?.stop();
    },
  };
}
