import { asAdministrator, databasePrefix, testServer } from './test-server.js';
import type { ServerAddress } from './server-address.js';

/** What a test database can be a copy of. */
export type TemplateName = 'empty' | 'banking';

/** How each template gets its contents, given its address. */
const fill: Record<Exclude<TemplateName, 'empty'>, (address: ServerAddress) => Promise<void>> = {
  banking: async (address) => {
    // Loaded here, so that tests of everything else do without the sample.
    const { migrate } = await import('../../apps/banking/src/database/migrate.js');
    await migrate(address.typeorm);
  },
};

const prepared = new Map<TemplateName, Promise<string>>();

/**
 * Makes the template unless another worker of this run has made it; a run that needs none pays for none.
 *
 * @returns the name of the database to copy
 */
export async function prepareTemplate(template: TemplateName): Promise<string> {
  if (template === 'empty') return 'template0';
  let name = prepared.get(template);
  if (name === undefined) {
    name = build(template);
    prepared.set(template, name);
  }
  return await name;
}

async function build(template: Exclude<TemplateName, 'empty'>): Promise<string> {
  const name = `${databasePrefix()}template_${template}`;
  const draft = `${name}_draft`;
  await asAdministrator(async (client) => {
    // One worker makes it, the others wait; the lock goes with the connection, should that worker die.
    await client.query('SELECT pg_advisory_lock(hashtext($1))', [name]);
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [name]);
    if (rowCount !== 0) return;
    await client.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${draft} TEMPLATE template0`);
    await fill[template](testServer().withDatabase(draft));
    await client.query(`ALTER DATABASE ${draft} RENAME TO ${name}`);
  });
  return name;
}
