import { PreparedStatements } from './prepared-statements.js';

const keep = (statements: PreparedStatements, text: string): string => {
  const name = statements.nextName();
  statements.keep(text, name);
  return name;
};

test('a kept text is found by its name, others are not', () => {
  const statements = new PreparedStatements(10);
  const name = keep(statements, 'SELECT 1');
  expect(statements.find('SELECT 1')?.name).toBe(name);
  expect(statements.find('SELECT 2')).toBeUndefined();
});

test('a name is never given twice', () => {
  const statements = new PreparedStatements(1);
  const names = Array.from({ length: 50 }, (_, index) => keep(statements, `SELECT ${index % 3}`));
  expect(new Set(names).size).toBe(50);
});

test('beyond the limit the one that was used longest ago is closed', () => {
  const statements = new PreparedStatements(2);
  const [first, second] = ['a', 'b'].map((text) => keep(statements, text));
  statements.find('a');
  keep(statements, 'c');
  expect(statements.takeClosing()).toEqual([second]);
  expect([statements.find('a')?.name, statements.find('b'), statements.size]).toEqual([first, undefined, 2]);
});

test('what may or may not exist on the server is closed, and not found', () => {
  const statements = new PreparedStatements(2);
  const name = statements.nextName();
  statements.abandon(name);
  expect(statements.takeClosing()).toEqual([name]);
  expect(statements.takeClosing()).toEqual([]);
});

test('a text that is prepared anew takes its new name, and the old one is closed', () => {
  const statements = new PreparedStatements(2);
  const old = keep(statements, 'a');
  const fresh = keep(statements, 'a');
  expect(statements.find('a')?.name).toBe(fresh);
  expect(statements.takeClosing()).toEqual([old]);
});

test('a forgotten text is closed; forgetting an unknown one does nothing', () => {
  const statements = new PreparedStatements(2);
  const name = keep(statements, 'a');
  statements.forget('a');
  statements.forget('b');
  expect(statements.find('a')).toBeUndefined();
  expect(statements.takeClosing()).toEqual([name]);
});
