import { arrayElements } from './array-elements.js';

test.each<[string, (string | null)[]]>([
  ['{}', []],
  ['{7}', ['7']],
  ['{1,NULL,-3}', ['1', null, '-3']],
  ['{t,f}', ['t', 'f']],
  ['{"2026-03-04 05:06:07+00",NULL}', ['2026-03-04 05:06:07+00', null]],
  ['{"",a,"NULL"}', ['', 'a', 'NULL']],
  ['{"a,b","{c}","d\\"e","f\\\\g","h\ni"}', ['a,b', '{c}', 'd"e', 'f\\g', 'h\ni']],
  ['{"{1,2}","{\\"x\\",NULL}"}', ['{1,2}', '{"x",NULL}']],
])('%s has the elements that were put into it', (array, elements) => {
  expect(arrayElements(array)).toEqual(elements);
});
