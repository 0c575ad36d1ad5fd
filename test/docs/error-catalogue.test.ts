import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as entry from 'nestjs-uow';
import { AfterCommitError, ConnectionLostError, DatabaseError, PoolExhaustedError, UowError } from 'nestjs-uow';
import * as databaseErrors from '../../libs/uow/src/errors/database-errors.js';
import * as flushErrors from '../../libs/uow/src/errors/flush-errors.js';
import * as moduleErrors from '../../libs/uow/src/errors/module-errors.js';
import * as sessionErrors from '../../libs/uow/src/errors/session-errors.js';
import * as transactionErrors from '../../libs/uow/src/errors/transaction-errors.js';

/** The catalogue: classes, public entry and page agree; a code that nobody documents cannot be released. */

const ROOT = new URL('../../', import.meta.url).pathname;
const SOURCES = join(ROOT, 'libs/uow/src');
const page = readFileSync(join(ROOT, 'docs/reference/errors.md'), 'utf8');

type ErrorClass = new (...args: never[]) => UowError;

const classes = [databaseErrors, flushErrors, moduleErrors, sessionErrors, transactionErrors]
  .flatMap((module) => Object.values(module) as unknown[])
  .filter((one): one is ErrorClass => typeof one === 'function' && one.prototype instanceof UowError);

const make = (kind: ErrorClass): UowError =>
  new (kind as new (...args: unknown[]) => UowError)('what happened', {}, {});

interface Section {
  readonly code: string;
  readonly text: string;
}

const sections: readonly Section[] = page
  .split(/^### /m)
  .slice(1)
  .map((text) => ({ code: (text.split('\n')[0] as string).trim(), text: text.split(/^## /m)[0] as string }));

test('every file of errors is looked at', () => {
  const files = readdirSync(join(SOURCES, 'errors')).filter((name) => name.endsWith('-errors.ts'));
  expect(files.sort()).toEqual([
    'database-errors.ts',
    'flush-errors.ts',
    'module-errors.ts',
    'session-errors.ts',
    'transaction-errors.ts',
  ]);
  expect(classes.length).toBeGreaterThan(40);
});

test('no code is given twice', () => {
  const codes = classes.map((kind) => make(kind).code);
  expect(new Set(codes).size).toBe(codes.length);
});

test('the page has a section for each code, and for no other', () => {
  expect(sections.map(({ code }) => code).sort()).toEqual(classes.map((kind) => make(kind).code).sort());
});

describe.each(classes.map((kind) => [make(kind).code, kind] as const))('%s', (code, kind) => {
  const section = sections.find((one) => one.code === code)?.text ?? '';

  test('is documented under its class, with what it says, when, why and how to fix it', () => {
    expect(section).toContain(`\`${kind.name}\``);
    expect(section).toMatch(/^> .+/m);
    for (const part of ['When', 'Why', 'Fix'])
      expect(section).toMatch(new RegExp(`^- \\*\\*${part}\\*\\*: .+\\.`, 'm'));
  });

  test('is exported from the entry, a UowError with its own name', () => {
    expect((entry as Record<string, unknown>)[kind.name]).toBe(kind);
    const error = make(kind);
    expect(error).toBeInstanceOf(Error);
    expect([error.name, entry.isUowError(error)]).toEqual([kind.name, true]);
  });
});

test('errors of another copy of the package are known by their code', () => {
  expect(entry.isUowError(Object.assign(new Error('theirs'), { code: 'UOW_NO_SESSION' }))).toBe(true);
  expect(entry.isUowError(Object.assign(new Error('theirs'), { code: '23505' }))).toBe(false);
});

test('what errors carry is typed', () => {
  const after: number = new AfterCommitError('m', 7).result;
  const holders: readonly { label: string; heldFor: number }[] = new PoolExhaustedError('m', []).holders;
  const state: string = new DatabaseError('m', { sqlState: '22012' }).sqlState;
  const retryable: boolean = new ConnectionLostError('m').retryable;
  expect([after, holders, state, retryable]).toEqual([7, [], '22012', false]);
});

/** All text of the library's own sources. */
function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((one) => {
    const path = join(folder, one.name);
    if (one.isDirectory()) return sources(path);
    return one.name.endsWith('.ts') && !one.name.endsWith('.test.ts') ? [readFileSync(path, 'utf8')] : [];
  });
}

test('the page of diagnostics lists each warning that the library gives, and no other', () => {
  const given = new Set(
    sources(SOURCES).flatMap((text) => [...text.matchAll(/code: '(UOW_WARN_\w+)'/g)].map(([, code]) => code)),
  );
  const listed = [
    ...readFileSync(join(ROOT, 'docs/reference/diagnostics.md'), 'utf8').matchAll(/^\| `(UOW_WARN_\w+)` \|/gm),
  ].map(([, code]) => code);
  expect(listed).toEqual([...given].sort());
});
