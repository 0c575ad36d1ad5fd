import fc from 'fast-check';
import pg from 'pg';
import { quickParser } from './timestamp-parser.js';

const own = pg.types.getTypeParser(1184) as (text: string) => unknown;
const quick = quickParser(own);

/** An invalid date equals no other. */
const seen = (value: unknown): unknown => (value instanceof Date ? { time: value.getTime() } : value);

const digits = (value: number, length: number): string => String(value).padStart(length, '0');

const timestamps = fc
  .record({
    year: fc.oneof(fc.integer({ min: 1900, max: 2100 }), fc.integer({ min: 1, max: 294_276 })),
    month: fc.integer({ min: 1, max: 12 }),
    day: fc.integer({ min: 1, max: 31 }),
    hour: fc.integer({ min: 0, max: 23 }),
    minute: fc.integer({ min: 0, max: 59 }),
    second: fc.integer({ min: 0, max: 59 }),
    fraction: fc.option(fc.integer({ min: 1, max: 999_999 }).map((micros) => digits(micros, 6).replace(/0+$/, ''))),
    zone: fc.option(
      fc
        .record({
          sign: fc.constantFrom('+', '-'),
          hours: fc.integer({ min: 0, max: 15 }),
          minutes: fc.option(fc.integer({ min: 0, max: 59 })),
          seconds: fc.option(fc.integer({ min: 0, max: 59 })),
        })
        .map(({ sign, hours, minutes, seconds }) => {
          const rest =
            minutes === null ? '' : `:${digits(minutes, 2)}${seconds === null ? '' : `:${digits(seconds, 2)}`}`;
          return `${sign}${digits(hours, 2)}${rest}`;
        }),
    ),
    isBC: fc.boolean(),
  })
  .map(
    ({ year, month, day, hour, minute, second, fraction, zone, isBC }) =>
      `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)} ${digits(hour, 2)}:${digits(minute, 2)}:${digits(second, 2)}` +
      `${fraction === null ? '' : `.${fraction}`}${zone ?? ''}${isBC && year % 3 === 0 ? ' BC' : ''}`,
  );

describe('quickParser', () => {
  test('reads every timestamp as pg does', () => {
    expect(quick).not.toBe(own);
    fc.assert(
      fc.property(timestamps, (text) => {
        expect(seen(quick(text))).toStrictEqual(seen(own(text)));
      }),
      { numRuns: 5_000 },
    );
  });

  test('reads every fraction of a second as pg does', () => {
    for (let micros = 0; micros < 1_000_000; micros += 7) {
      const text = `2026-03-04 05:06:07.${digits(micros, 6)}+00`;
      if ((quick(text) as Date).getTime() !== (own(text) as Date).getTime()) throw new Error(text);
    }
    for (let millis = 0; millis < 1_000; millis++) {
      const text = `2026-03-04 05:06:07.${digits(millis, 3).replace(/0+$/, '')}+00`;
      expect((quick(text) as Date).getTime()).toBe((own(text) as Date).getTime());
    }
  });

  test.each([
    'infinity',
    '-infinity',
    '2026-03-04',
    '0001-01-01 BC',
    '2026-13-40 25:61:61+00',
    '2026-03-04 05:06:07Z',
    '2026-03-04 05:06:07+0530',
    '2026-03-04 05:06:07 BC',
    '2026-03-04T05:06:07+00',
    '2026-03-04 05:06:07+',
    '2026-03-04 05:06:07.',
    '',
    'now',
  ])('reads %j as pg does', (text) => {
    expect(seen(quick(text))).toStrictEqual(seen(own(text)));
  });

  test.each([
    ['a parser of strings', (text: string) => text],
    ['a parser of milliseconds', (text: string) => Date.parse(text)],
    ['a parser that takes local times for UTC', (text: string) => new Date(`${text}Z`)],
    ['a parser that throws', (text: string) => BigInt(text)],
    ['pg’s parser of numbers', pg.types.getTypeParser(23)],
  ])("leaves %s, which is the application's own, alone", (_, parse) => {
    expect(quickParser(parse)).toBe(parse);
  });
});
