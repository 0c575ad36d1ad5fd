import { readFileSync } from 'node:fs';

const swc = JSON.parse(readFileSync(new URL('./.swcrc', import.meta.url), 'utf8'));
delete swc.$schema;
const withMetadata = { ...swc, swcrc: false };
// The library is published without decorator metadata; its sources run without it here too.
const withoutMetadata = {
  ...withMetadata,
  jsc: { ...swc.jsc, transform: { ...swc.jsc.transform, decoratorMetadata: false } },
};

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/libs', '<rootDir>/apps', '<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/', '/fixtures/', '/test/packaging/'],
  modulePathIgnorePatterns: ['<rootDir>/libs/[^/]+/dist/', '<rootDir>/dist/'],
  watchPathIgnorePatterns: ['<rootDir>/.data/', '<rootDir>/dist/', '<rootDir>/coverage/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '/libs/uow/src/(?!.*\\.test\\.ts$).*\\.ts$': ['@swc/jest', withoutMetadata],
    '\\.ts$': ['@swc/jest', withMetadata],
  },
  resolver: '<rootDir>/scripts/jest-resolver.cjs',
  moduleNameMapper: {
    '^nestjs-uow$': '<rootDir>/libs/uow/src/index.ts',
    '^nestjs-uow/testing$': '<rootDir>/libs/uow/src/testing/index.ts',
    '^@nestjs-uow/embedded-postgres$': '<rootDir>/libs/embedded-postgres/src/index.ts',
  },
  globalSetup: '<rootDir>/scripts/jest-global-setup.mjs',
  globalTeardown: '<rootDir>/scripts/jest-global-teardown.mjs',
  maxWorkers: 2,
  testTimeout: 30_000,
  collectCoverageFrom: ['libs/*/src/**/*.ts', 'apps/*/src/**/*.ts', '!**/*.test.ts'],
  coverageProvider: 'v8',
  coverageDirectory: 'coverage',
};
