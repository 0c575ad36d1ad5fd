// Who may import whom. The table of rooms is the one of ARCHITECTURE.md: a room imports only from rooms below it,
// and `import type` counts.

const library = '^libs/uow/src/';
const tests = '\\.test\\.ts$';

/** For each room of the library, the rooms that it may import from. Everyone may import `diagnostics` and `errors`. */
const rooms = {
  nest: ['session', 'typeorm', 'flush', 'transaction', 'database'],
  testing: ['session', 'typeorm', 'flush', 'transaction', 'database'],
  session: ['flush', 'transaction', 'database'],
  typeorm: ['transaction', 'database'],
  flush: ['database'],
  transaction: ['database'],
  database: [],
};

const downwards = Object.entries(rooms).map(([room, below]) => ({
  name: `${room}-imports-downwards`,
  comment: `${room}/ may import from ${[...below, 'diagnostics', 'errors'].join(', ')}, and from no other room.`,
  severity: 'error',
  from: { path: `${library}${room}/`, pathNot: tests },
  to: { path: library, pathNot: `${library}(${[room, ...below, 'diagnostics', 'errors'].join('|')})/` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...downwards,
    {
      name: 'diagnostics-imports-only-errors',
      severity: 'error',
      from: { path: `${library}diagnostics/`, pathNot: tests },
      to: { path: library, pathNot: `${library}(diagnostics|errors)/` },
    },
    {
      name: 'errors-import-nothing',
      severity: 'error',
      from: { path: `${library}errors/`, pathNot: tests },
      to: { path: library, pathNot: `${library}errors/` },
    },
    {
      name: 'entry-without-testing',
      comment: 'What production code loads must not pull in the testing entry.',
      severity: 'error',
      from: { path: `${library}index\\.ts$` },
      to: { path: `${library}testing/` },
    },
    {
      name: 'every-source-has-a-room',
      comment: 'Only index.ts lies outside the rooms.',
      severity: 'error',
      from: { path: library },
      to: {
        path: library,
        pathNot: `${library}(index\\.ts$|(${[...Object.keys(rooms), 'diagnostics', 'errors'].join('|')})/)`,
      },
    },
    {
      name: 'no-cycles',
      comment: 'No two files of a library need each other when they are loaded.',
      severity: 'error',
      from: { path: '^libs/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'typeorm-runs-in-its-room',
      comment: 'typeorm/ is the only room that loads TypeORM; others may use its types at most.',
      severity: 'error',
      from: { path: library, pathNot: [tests, `${library}typeorm/`] },
      to: { path: '(^|/)node_modules/typeorm/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'typeorm-types-stay-above',
      comment: 'flush/, transaction/ and database/ know PostgreSQL, not TypeORM.',
      severity: 'error',
      from: { path: `${library}(flush|transaction|database|diagnostics|errors)/`, pathNot: tests },
      to: { path: '(^|/)node_modules/typeorm/' },
    },
    {
      name: 'nest-stays-in-its-room',
      comment: 'All that knows NestJS is in nest/ (and in the testing entry).',
      severity: 'error',
      from: { path: library, pathNot: [tests, `${library}(nest|testing)/`] },
      to: { path: '(^|/)node_modules/@nestjs/' },
    },
    {
      name: 'pg-comes-from-the-driver',
      comment: 'A second copy of pg would not be the one that the pool was made by: take it from the data source.',
      severity: 'error',
      from: { path: library, pathNot: tests },
      to: { path: '(^|/)node_modules/pg[^/]*/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'only-peer-dependencies',
      comment: 'A user has installed only what libs/uow/package.json declares.',
      severity: 'error',
      from: { path: library, pathNot: tests },
      to: {
        path: '(^|/)node_modules/',
        pathNot:
          '(^|/)node_modules/(@nestjs/(common|core|event-emitter)|typeorm|rxjs|reflect-metadata|pg|@types/(pg|node))/',
      },
    },
    {
      name: 'library-stands-alone',
      severity: 'error',
      from: { path: library, pathNot: tests },
      to: { path: '^(apps|test|bench|scripts|libs/embedded-postgres)/' },
    },
    {
      name: 'embedded-postgres-stands-alone',
      severity: 'error',
      from: { path: '^libs/embedded-postgres/src/', pathNot: tests },
      to: { path: '^(apps|test|bench|scripts|libs/uow)/' },
    },
    {
      name: 'applications-use-public-entries',
      severity: 'error',
      from: { path: '^apps/' },
      to: { path: '^libs/[^/]+/src/', pathNot: '^libs/[^/]+/src/(testing/)?index\\.ts$' },
    },
    {
      name: 'applications-without-test-code',
      severity: 'error',
      from: { path: '^apps/', pathNot: `${tests}|/test/` },
      to: { path: '^(test|bench)/' },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: { path: '^(libs|apps|test|bench)/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|fixtures)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
  },
};
