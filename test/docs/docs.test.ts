import { codeBlocks, region } from './code-blocks.js';

const blocks = codeBlocks().filter(({ language }) => ['ts', 'typescript'].includes(language));

test('every TypeScript block says which file it is a part of, or why it is not run', () => {
  const silent = blocks.filter(({ source }) => source === null).map(({ document, line }) => `${document}:${line}`);
  expect(silent).toEqual([]);
});

test.each(blocks.filter(({ source }) => source?.startsWith('from ') === true))(
  '$document:$line is what the file says',
  ({ code, source }) => {
    expect(code).toBe(region((source as string).slice('from '.length)));
  },
);
