/**
 * pg reads timestamps with regular expressions, and that is the dearest part of reading rows that have some. The same
 * dates, read character by character, stand in for it: only for pg's own parser, which is known by what it makes of a
 * few texts, and only for texts in the usual form. Everything else goes to the parser that was there.
 */

type Parser = (text: string) => unknown;

const ZERO = 48;
const COLON = 58;
const DASH = 45;

const quick = new WeakMap<Parser, Parser>();

/** The parser itself, or a quicker one that gives the same. */
export function quickParser(parse: Parser): Parser {
  let known = quick.get(parse);
  if (known === undefined) {
    known = readsDatesAsPg(parse) ? (text) => timestampOf(text) ?? parse(text) : parse;
    quick.set(parse, known);
  }
  return known;
}

/** Date and time of a year from 100 to 9999, with an offset or in local time; null for every other text. */
function timestampOf(text: string): Date | null {
  const { length } = text;
  if (length < 19 || text.charCodeAt(4) !== DASH || text.charCodeAt(7) !== DASH || text.charCodeAt(10) !== 32)
    return null;
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON) return null;
  const year = 100 * twoDigits(text, 0) + twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  const hour = twoDigits(text, 11);
  const minute = twoDigits(text, 14);
  const second = twoDigits(text, 17);
  // Two digits of a year below 100 mean another century to Date, and what pg makes of that is left to pg.
  if (!(year >= 100)) return null;

  let at = 19;
  let milliseconds = 0;
  if (text.charCodeAt(at) === 46) {
    let fraction = 0;
    let scale = 1;
    for (at++; at < length; at++) {
      const digit = text.charCodeAt(at) - ZERO;
      if (!(digit >= 0 && digit <= 9)) break;
      fraction = 10 * fraction + digit;
      scale *= 10;
    }
    milliseconds = Math.trunc(1_000 * (fraction / scale));
  }
  if (at === length) return new Date(year, month - 1, day, hour, minute, second, milliseconds);
  const offset = offsetOf(text, at);
  const time = ((daysOf(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset;
  return Number.isNaN(time) ? null : new Date(1_000 * time + milliseconds);
}

/** `+05`, `-03:30`, `+05:53:28` in seconds; NaN for anything else. */
function offsetOf(text: string, at: number): number {
  const sign = text.charCodeAt(at);
  if (sign !== 43 && sign !== DASH) return NaN;
  let seconds = 3_600 * twoDigits(text, at + 1);
  const { length } = text;
  if (length >= at + 6 && text.charCodeAt(at + 3) === COLON) {
    seconds += 60 * twoDigits(text, at + 4);
    if (length === at + 9 && text.charCodeAt(at + 6) === COLON) seconds += twoDigits(text, at + 7);
    else if (length !== at + 6) return NaN;
  } else if (length !== at + 3) return NaN;
  return sign === DASH ? -seconds : seconds;
}

/** NaN where there are not two digits. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - ZERO;
  const ones = text.charCodeAt(at + 1) - ZERO;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? 10 * tens + ones : NaN;
}

/** Days since 1970. A year is counted from March, so that the leap day comes last. */
function daysOf(year: number, month: number, day: number): number {
  const from = month > 2 ? year : year - 1;
  const months = month > 2 ? month - 3 : month + 9;
  const century = Math.floor(from / 100);
  return (
    365 * from +
    Math.floor(from / 4) -
    century +
    Math.floor(century / 4) +
    Math.floor((153 * months + 2) / 5) +
    day -
    719_469
  );
}

/** Texts of every kind that pg's parser reads, with what it makes of them. */
function readsDatesAsPg(parse: Parser): boolean {
  const expected: readonly (readonly [string, number])[] = [
    ['2026-03-04 05:06:07.891234+00', Date.UTC(2026, 2, 4, 5, 6, 7, 891)],
    ['2024-02-29 05:06:07-03:30', Date.UTC(2024, 1, 29, 8, 36, 7)],
    ['1899-12-31 23:59:59.5+05:53:28', Date.UTC(1899, 11, 31, 18, 6, 31, 500)],
    ['0044-03-15 12:00:00+00 BC', Date.UTC(-43, 2, 15, 12)],
    ['2026-03-04 05:06:07.5', new Date(2026, 2, 4, 5, 6, 7, 500).getTime()],
    ['2026-03-04', new Date(2026, 2, 4).getTime()],
  ];
  try {
    return (
      parse('infinity') === Infinity &&
      expected.every(([text, time]) => {
        const date = parse(text);
        return date instanceof Date && Object.getPrototypeOf(date) === Date.prototype && date.getTime() === time;
      })
    );
  } catch {
    return false;
  }
}
