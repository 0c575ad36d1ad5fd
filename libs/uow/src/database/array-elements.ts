/** Either what stands in quotes, or a bare element. */
const ELEMENT = /"((?:[^"\\]+|\\.)*)"|([^,{}"]+)/gs;
const ESCAPED = /\\(.)/gs;

/** The texts of the elements of a one-dimensional array as the server writes it; null for NULL. */
export function arrayElements(array: string): (string | null)[] {
  if (array === '{}') return [];
  if (!array.includes('"')) {
    const elements: (string | null)[] = array.slice(1, -1).split(',');
    if (array.includes('NULL')) {
      for (let at = 0; at < elements.length; at++) if (elements[at] === 'NULL') elements[at] = null;
    }
    return elements;
  }
  const elements: (string | null)[] = [];
  for (const [, quoted, bare] of array.matchAll(ELEMENT)) {
    if (bare !== undefined) elements.push(bare === 'NULL' ? null : bare);
    else elements.push(quoted!.includes('\\') ? quoted!.replace(ESCAPED, '$1') : quoted!);
  }
  return elements;
}
