import '@swc-node/register/esm-register';

// jest loads this file as it is; the TypeScript behind it needs a loader of its own.
const { default: run } = await import('../test/support/jest-global-teardown.ts');
export default run;
