import pg from 'pg';

/**
 * Makes a database unless it exists; two that ask at once both succeed.
 *
 * @param server whatever names a server: an embedded one, or an object with a `url` function
 * @param name the database's name
 * @returns whether it was made now
 */
export async function ensureDatabase(
  server: { readonly url: (database?: string) => string },
  name: string,
): Promise<boolean> {
  const client = new pg.Client({ connectionString: server.url() });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [name]);
    if (rowCount !== 0) return false;
    await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
    return true;
  } catch (error) {
    const code = (error as { code?: string }).code;
    // duplicate_database, or the unique index when both were inside CREATE DATABASE.
    if (code === '42P04' || code === '23505') return false;
    throw error;
  } finally {
    await client.end();
  }
}
