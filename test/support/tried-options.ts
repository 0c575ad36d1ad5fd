/**
 * Options of the library that a whole run of the suites tries, from the environment: `UOW_TEST_OPTIONS` is any of
 * `batching=off` and `preparedStatements=off`, with a space between. What a test names itself is left to it.
 */
export interface TriedOptions {
  readonly batching?: false;
  readonly preparedStatements?: false;
}

const choices = {
  'batching=off': { batching: false },
  'preparedStatements=off': { preparedStatements: false },
} as const;

function read(given: string): TriedOptions {
  let tried: TriedOptions = {};
  for (const word of given.split(' ').filter((each) => each !== '')) {
    if (!(word in choices))
      throw new Error(`UOW_TEST_OPTIONS: "${word}" is none of ${Object.keys(choices).join(', ')}`);
    tried = { ...tried, ...choices[word as keyof typeof choices] };
  }
  return tried;
}

export const triedOptions = read(process.env['UOW_TEST_OPTIONS'] ?? '');

/** For tests of which statements share a round trip. */
export const batches = triedOptions.batching === undefined;

/** For tests of statements prepared by name. */
export const prepares = triedOptions.preparedStatements === undefined;
