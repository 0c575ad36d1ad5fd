/** Where a database is and who asks: one address in the forms that pg, TypeORM and a connection string want. */
export class ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;

  /** @param url for example postgres://user:password@127.0.0.1:5432/name */
  constructor(url: string) {
    const parsed = new URL(url);
    this.host = parsed.hostname === '' ? '127.0.0.1' : parsed.hostname;
    this.port = parsed.port === '' ? 5432 : Number(parsed.port);
    this.user = decodeURIComponent(parsed.username);
    this.password = decodeURIComponent(parsed.password);
    this.database = decodeURIComponent(parsed.pathname.slice(1)) || 'postgres';
  }

  /** As a connection string. */
  get url(): string {
    const [user, password, database] = [this.user, this.password, this.database].map(encodeURIComponent);
    return `postgres://${user}:${password}@${this.host}:${this.port}/${database}`;
  }

  /** For `new pg.Client(…)` and `new pg.Pool(…)`. */
  get pg(): { host: string; port: number; user: string; password: string; database: string } {
    const { host, port, user, password, database } = this;
    return { host, port, user, password, database };
  }

  /** For `new DataSource({ ...address.typeorm, entities })`. */
  get typeorm(): {
    type: 'postgres';
    host: string;
    port: number;
    username: string;
    password: string;
    database: string;
  } {
    const { host, port, user, password, database } = this;
    return { type: 'postgres', host, port, username: user, password, database };
  }

  /** The same server and user, another database. */
  withDatabase(database: string): ServerAddress {
    const url = new URL(this.url);
    url.pathname = `/${encodeURIComponent(database)}`;
    return new ServerAddress(url.href);
  }

  /** The same database, reached at another port of this machine (a proxy's). */
  at(host: string, port: number): ServerAddress {
    const url = new URL(this.url);
    url.hostname = host;
    url.port = String(port);
    return new ServerAddress(url.href);
  }
}
