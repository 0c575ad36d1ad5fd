import workspace from './jest.config.js';

// The packed library in projects of its own, outside this workspace. Slow, and it installs from the registry:
// `npm run test:package`, not part of `npm test`.
/** @type {import('jest').Config} */
export default {
  ...workspace,
  roots: ['<rootDir>/test/packaging'],
  testPathIgnorePatterns: workspace.testPathIgnorePatterns.filter((pattern) => pattern !== '/test/packaging/'),
  testTimeout: 300_000,
  maxWorkers: 1,
};
