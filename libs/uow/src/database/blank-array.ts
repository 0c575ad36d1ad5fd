const blanks: undefined[][] = [];

/**
 * An array of a length, full of `undefined`.
 *
 * A copy rather than a `new Array`: where the arrays that some place in the code makes outlive a collection of the
 * young generation, V8 makes later ones of that place in the old generation, where they keep what they hold alive
 * (docs/decisions/0002); a copy has no such place.
 */
export function blankArray<Item>(length: number): (Item | undefined)[] {
  const blank = (blanks[length] ??= Array.from({ length }, () => undefined));
  return blank.slice();
}
