import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const configFile = join(here, '../../.dependency-cruiser.js');
const cruiser = join(here, '../../node_modules/dependency-cruiser/bin/dependency-cruise.mjs');

interface Violation {
  readonly from: string;
  readonly to: string;
  readonly rule: { readonly name: string };
}

function cruise(tree: string, outputType: string): Promise<{ exitCode: number; stdout: string }> {
  const args = [cruiser, '--config', configFile, '--output-type', outputType, 'libs', 'apps', 'test'];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: tree, maxBuffer: 32e6 }, (error, stdout) => {
      resolve({ exitCode: typeof error?.code === 'number' ? error.code : 0, stdout });
    });
  });
}

/** What the check says about a tree that is laid out like this repository. */
async function check(tree: string): Promise<{ exitCode: number; violations: string[]; rules: string[] }> {
  // Only the reporter for people, the one that `npm run lint` uses, sets the exit code.
  const [{ stdout }, { exitCode }] = await Promise.all([cruise(tree, 'json'), cruise(tree, 'err')]);
  const { summary } = JSON.parse(stdout) as {
    summary: { violations: Violation[]; ruleSetUsed: { forbidden: { name: string }[] } };
  };
  return {
    exitCode,
    violations: summary.violations.map(({ rule, from, to }) => `${rule.name}: ${short(from)} -> ${short(to)}`).sort(),
    rules: summary.ruleSetUsed.forbidden.map(({ name }) => name),
  };
}

function short(path: string): string {
  return path.replace(/^(\.\.\/)*node_modules\/((@[^/]+\/)?[^/]+)\/.*$/, '$2').replace(/^libs\/uow\/src\//, '');
}

test('an import that goes upwards, or around, is seen: every rule has a violation that breaks it', async () => {
  const { violations, rules, exitCode } = await check(join(here, 'fixtures/violations'));

  expect(violations).toEqual([
    'applications-use-public-entries: apps/shop/src/main.ts -> transaction/transaction-manager.ts',
    'applications-without-test-code: apps/shop/src/main.ts -> test/fake.ts',
    'database-imports-downwards: database/batch.ts -> transaction/transaction-manager.ts',
    'database-imports-downwards: database/batch.ts -> utils/clip.ts',
    'diagnostics-imports-only-errors: diagnostics/channels.ts -> flush/flush-plan.ts',
    'embedded-postgres-stands-alone: libs/embedded-postgres/src/index.ts -> index.ts',
    'entry-without-testing: index.ts -> testing/index.ts',
    'errors-import-nothing: errors/uow-error.ts -> diagnostics/channels.ts',
    'every-source-has-a-room: database/batch.ts -> utils/clip.ts',
    'flush-imports-downwards: flush/flush-plan.ts -> transaction/transaction-manager.ts',
    'library-stands-alone: errors/uow-error.ts -> libs/embedded-postgres/src/index.ts',
    'nest-imports-downwards: nest/uow.module.ts -> testing/index.ts',
    'nest-stays-in-its-room: session/db-session.ts -> @nestjs/common',
    'no-cycles: transaction/transaction-manager.ts -> transaction/transaction-status.ts',
    'only-peer-dependencies: utils/clip.ts -> fast-check',
    'pg-comes-from-the-driver: database/batch.ts -> pg',
    'resolvable: apps/shop/src/main.ts -> ./missing.js',
    'session-imports-downwards: session/db-session.ts -> typeorm/ambient-query-runner.ts',
    'testing-imports-downwards: testing/index.ts -> nest/uow.module.ts',
    'transaction-imports-downwards: transaction/transaction-manager.ts -> session/db-session.ts',
    'typeorm-imports-downwards: typeorm/ambient-query-runner.ts -> flush/flush-plan.ts',
    'typeorm-runs-in-its-room: transaction/transaction-manager.ts -> typeorm',
    'typeorm-types-stay-above: flush/flush-plan.ts -> typeorm',
    'typeorm-types-stay-above: transaction/transaction-manager.ts -> typeorm',
  ]);
  expect(new Set(violations.map((violation) => violation.split(':')[0]))).toEqual(new Set(rules));
  expect(exitCode).not.toBe(0);
});
