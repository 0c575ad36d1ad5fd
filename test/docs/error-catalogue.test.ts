import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as entry from 'nestjs-uow';
import { EntityNotFoundError, isUowError, StaleDataError, UowError } from 'nestjs-uow';
import { reporting } from '../../libs/uow/src/diagnostics/report.js';

/** The catalogue of errors and warnings: what the entry exports, what the sources throw, and what the docs say agree. */

const ROOT = new URL('../../', import.meta.url).pathname;
const SOURCES = join(ROOT, 'libs/uow/src');
const ERRORS = join(SOURCES, 'errors');

interface ErrorKind {
  readonly name: string;
  readonly code: string;
  /** Its nearest class in the catalogue; null directly below `UowError`. */
  readonly parent: string | null;
}

interface Section {
  readonly code: string;
  readonly text: string;
}

const isKind = (value: unknown): value is new (...args: unknown[]) => UowError =>
  typeof value === 'function' && value.prototype instanceof UowError;

/** Every concrete error of the public entry, with the code that an instance really has. */
const kinds: ErrorKind[] = (Object.values(entry) as unknown[]).filter(isKind).map((kind) => {
  const parent = Object.getPrototypeOf(kind) as { readonly name: string };
  const { code } = new kind('message', { sqlState: 'XX000' });
  return { name: kind.name, code, parent: parent === UowError ? null : parent.name };
});

/** The sources of the library without its tests, imports and comments, by path. */
const sources = new Map(
  readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .map((path) => {
      const text = readFileSync(join(SOURCES, path), 'utf8')
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/^\s*\/\/.*$/gm, '')
        .replace(/^(?:import|export)\s[^;]*?\sfrom\s[^;]+;$/gm, '');
      return [path, text];
    }),
);

const reported = new Set([...sources.values()].flatMap((text) => text.match(/\bUOW_WARN_[A-Z_]+\b/g) ?? []));

function read(document: string): string {
  return readFileSync(join(ROOT, 'docs/reference', document), 'utf8');
}

function sections(document: string): Section[] {
  return read(document)
    .split(/^## /m)
    .slice(1)
    .map((text) => ({ code: text.slice(0, text.indexOf('\n')), text }));
}

/** The codes that the table above the sections links to. */
function contents(document: string): string[] {
  const [above = ''] = read(document).split(/^## /m);
  return (above.match(/^\|.*$/gm) ?? []).flatMap((row) =>
    [...row.matchAll(/\[`(UOW_\w+)`\]\(#\w+\)/g)].map(([, code]) => code as string),
  );
}

const label = (text: string): RegExp => new RegExp(`^\\*\\*${text}\\.\\*\\* \\S`, 'm');
/** The message that a section shows. */
function shownMessage(section: string): string {
  return /^```text\n(?<message>[\s\S]*?)\n```$/m.exec(section)?.groups?.['message'] ?? '';
}

/** How much of a message, from 0 to 1, stands in sources between quotes and placeholders. */
function partWordedIn(made: readonly string[], message: string): number {
  const covered = new Set<number>();
  for (const fragment of made.flatMap((source) => source.split(/['"`\n]|\$\{|\}/))) {
    if (fragment.length < 5) continue;
    for (let at = message.indexOf(fragment); at !== -1; at = message.indexOf(fragment, at + 1)) {
      for (let index = at; index < at + fragment.length; index += 1) covered.add(index);
    }
  }
  return covered.size / message.length;
}

const sorted = (codes: Iterable<string>): string[] => [...codes].sort();
const errors = sections('errors.md');
const warnings = sections('diagnostics.md');
const RESERVED = 'Nothing throws it in this version.';

describe('errors', () => {
  test('every class of the catalogue is exported', () => {
    const declared = readdirSync(ERRORS).flatMap((file) =>
      [...readFileSync(join(ERRORS, file), 'utf8').matchAll(/^export class (\w+)/gm)].map(([, name]) => name as string),
    );
    expect(sorted(kinds.map(({ name }) => name))).toEqual(sorted(declared));
  });

  test('codes are unique, and are the names of their classes', () => {
    expect(new Set(kinds.map(({ code }) => code)).size).toBe(kinds.length);
    const asNamed = kinds.map(({ name, parent }) => ({
      name,
      code: `UOW${name.replace(/Error$/, '').replace(/[A-Z]/g, (capital) => `_${capital}`)}`.toUpperCase(),
      parent,
    }));
    expect(kinds).toEqual(asNamed);
  });

  test('every code has exactly one section', () => {
    expect(sorted(errors.map(({ code }) => code))).toEqual(sorted(kinds.map(({ code }) => code)));
  });

  test.each(errors)('$code: the section names its class, and says when, what, why and how to fix it', (section) => {
    const { code, text } = section;
    const said = /^Class: `(?<name>\w+)`(?:, an? `(?<parent>\w+)`)?$/m.exec(text)?.groups;
    expect({ code, name: said?.['name'], parent: said?.['parent'] ?? null }).toEqual(
      kinds.find((kind) => kind.code === code),
    );
    for (const part of ['When', 'Why', 'Fix']) expect(text).toMatch(label(part));
    expect(text).toMatch(/^\*\*Message\.\*\*/m);
  });

  test.each(kinds)('$code: the docs say whether anything throws it, and a message that it has', ({ name, code }) => {
    const { text } = errors.find((section) => section.code === code) as Section;
    const throwing = [...sources]
      .filter(([path]) => !path.startsWith('errors/'))
      .map(([, source]) => source)
      .filter((source) => new RegExp(`\\b${name}\\b`).test(source));
    expect(text.includes(RESERVED)).toBe(throwing.length === 0);
    const made = throwing.filter((source) => source.includes(`new ${name}(`));
    if (made.length > 0) expect(partWordedIn(made, shownMessage(text))).toBeGreaterThan(0.4);
  });
});

describe('warnings', () => {
  test('every code has exactly one section', () => {
    expect(sorted(warnings.map(({ code }) => code))).toEqual(sorted(reported));
  });

  test.each(warnings)('$code: the section says when, what and how to fix it', ({ code, text }) => {
    for (const part of ['When', 'Fix']) expect(text).toMatch(label(part));
    expect(text).toMatch(/^\*\*Message\.\*\*/m);
    const reporting = [...sources.values()].filter((source) => source.includes(code));
    // Its message may be the one of an error that is reported instead of thrown.
    const [, error] = /errors\.md#(\w+)/.exec(text) ?? [];
    const name = kinds.find((kind) => kind.code === error?.toUpperCase())?.name;
    const made = [...sources.values()].filter((source) => name !== undefined && source.includes(`new ${name}(`));
    expect(partWordedIn([...reporting, ...made], shownMessage(text))).toBeGreaterThan(0.4);
  });
});

test.each(['errors.md', 'diagnostics.md'])('the table of %s lists every section once', (document) => {
  expect(sorted(contents(document))).toEqual(sorted(sections(document).map(({ code }) => code)));
});

test('links between the sections lead somewhere', () => {
  const known = new Map([
    ['errors.md', new Set(errors.map(({ code }) => code.toLowerCase()))],
    ['diagnostics.md', new Set(warnings.map(({ code }) => code.toLowerCase()))],
  ]);
  for (const document of known.keys()) {
    for (const [link, file, anchor] of read(document).matchAll(/\]\(((?:errors|diagnostics)\.md)?#(\w+)\)/g)) {
      expect({ link, found: known.get(file ?? document)?.has(anchor as string) }).toEqual({ link, found: true });
    }
  }
});

test('the example of the docs tells errors by their codes', () => {
  // #region by-code
  function statusOf(error: unknown): number {
    if (!isUowError(error)) return 500;
    switch (error.code) {
      case 'UOW_ENTITY_NOT_FOUND':
        return 404;
      case 'UOW_STALE_DATA':
      case 'UOW_UNIQUE_VIOLATION':
        return 409;
      default:
        return 500;
    }
  }
  // #endregion
  const fromAnotherCopy = Object.assign(new Error('duplicate key'), { code: 'UOW_UNIQUE_VIOLATION' });
  const found = [
    new EntityNotFoundError('gone', 'Account', 7),
    new StaleDataError('stale', 'Account', 7),
    fromAnotherCopy,
    new Error('other'),
  ].map(statusOf);
  expect(found).toEqual([404, 409, 409, 500]);
});

test('the example of the docs hears of warnings', () => {
  // #region subscribe
  const counted = new Map<string, number>();

  function count(warning: unknown): void {
    const { code } = warning as { code: string; message: string; error?: unknown };
    counted.set(code, (counted.get(code) ?? 0) + 1);
  }

  subscribe('nestjs-uow:warning', count);
  // #endregion
  const written: string[] = [];
  const report = reporting(({ message }) => written.push(message));
  report({ code: 'UOW_WARN_HOOK_FAILED', message: 'a hook threw' });
  unsubscribe('nestjs-uow:warning', count);
  report({ code: 'UOW_WARN_HOOK_FAILED', message: 'another hook threw' });
  expect([...counted]).toEqual([['UOW_WARN_HOOK_FAILED', 1]]);
  expect(written).toEqual(['a hook threw', 'another hook threw']);
});
