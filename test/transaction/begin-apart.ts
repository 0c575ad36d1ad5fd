import type pg from 'pg';

/**
 * The wrong way, for tests that must be able to fail: BEGIN, a statement and COMMIT written one after the other
 * without waiting, each with a Sync of its own, as pg's `pipeline` mode writes them.
 */
export async function beginWithASyncOfItsOwn(client: pg.Client, begin: string, insert: string): Promise<void> {
  const texts = [begin, insert, 'COMMIT'];
  let answers = 0;
  await new Promise<void>((resolve) => {
    const submittable = {
      submit: (connection: WireWriter): null => {
        connection.on('readyForQuery', () => {
          answers += 1;
          if (answers === texts.length) resolve();
        });
        for (const text of texts) {
          connection.parse({ name: '', text });
          connection.bind({
            portal: '',
            statement: '',
            values: [],
            binary: false,
            valueMapper: (value: unknown) => value,
          });
          connection.execute({ portal: '', rows: 0 });
          connection.sync();
        }
        return null;
      },
      handleCommandComplete: () => undefined,
      handleReadyForQuery: () => undefined,
      handleError: () => undefined,
      handleEmptyQuery: () => undefined,
    };
    client.query(submittable as never);
  });
}

interface WireWriter {
  on(event: 'readyForQuery', listener: () => void): void;
  parse(message: object): void;
  bind(message: object): void;
  execute(message: object): void;
  sync(): void;
}
