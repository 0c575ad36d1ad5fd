/* eslint-disable @typescript-eslint/no-unnecessary-condition -- the objects may be half made */
import { Badge, Company, Department, Document, Employee, Label, Project, Remark, Task } from './entities.js';

/** What the model has to know of an entity: its values as texts, its foreign keys, its collections. */
export interface Kind {
  readonly name: string;
  readonly target: new () => object;
  readonly table: string;
  /** SQL of the key as a text. */
  readonly keySql: string;
  readonly keyOf: (entity: never) => string | undefined;
  /** Sets a key that the application gives; absent where the database does. */
  readonly giveKey?: (entity: never, n: number) => void;
  readonly idOf: (entity: never) => unknown;
  readonly isVersioned: boolean;
  readonly scalars: readonly Scalar[];
  readonly refs: readonly Ref[];
  readonly collections: readonly Collection[];
}

export interface Scalar {
  readonly name: string;
  readonly get: (entity: never) => unknown;
  readonly set: (entity: never, n: number) => void;
  /** The value as the text that `sql` gives for it. */
  readonly text: (value: never) => string | null;
  readonly sql: string;
  /** SQL that sets it to the value for `n`, as the rival does. */
  readonly rival: (n: number) => string;
}

export interface Ref {
  readonly path: string;
  readonly to: string;
  readonly nullable: boolean;
  readonly unique?: boolean;
  /** SQL of the foreign key as the text of the other's key. */
  readonly sql: string;
  /** The other side's collection, where it has one. */
  readonly inverse?: string;
}

export interface Collection {
  readonly path: string;
  readonly of: string;
  /** The child's foreign key that it shows; absent for a join table. */
  readonly ref?: string;
  /** For a join table: the collection on the other side, and the table as `[own key, other key]`. */
  readonly other?: string;
  readonly owns?: boolean;
  readonly table?: string;
  readonly keys?: readonly [string, string];
}

type Bag = Record<string, unknown>;

function text(name: string, prefix: string): Scalar {
  return {
    name,
    get: (entity: Bag) => entity[name],
    set: (entity: Bag, n) => (entity[name] = `${prefix} ${n}`),
    text: (value: string) => value,
    sql: `"${name}"`,
    rival: (n) => `"${name}" = '${prefix} ${n}'`,
  };
}

export const KINDS: readonly Kind[] = [
  {
    name: 'Company',
    target: Company,
    table: 'company',
    keySql: 'id::text',
    keyOf: (one: Company) => one.id?.toString(),
    idOf: (one: Company) => one.id,
    isVersioned: false,
    scalars: [
      text('name', 'company'),
      {
        name: 'street',
        get: (one: Company) => one.address?.street,
        set: (one: Company, n) => ((one.address ??= { geo: { latitude: 0 } } as never).street = `street ${n}`),
        text: (value: string) => value,
        sql: '"addressStreet"',
        rival: (n) => `"addressStreet" = 'street ${n}'`,
      },
      {
        name: 'latitude',
        get: (one: Company) => one.address?.geo?.latitude,
        set: (one: Company, n) => (one.address.geo.latitude = n + 0.1),
        text: (value: number) => String(value),
        sql: '"addressGeoLatitude"::text',
        rival: (n) => `"addressGeoLatitude" = ${n + 0.1}`,
      },
    ],
    refs: [],
    collections: [{ path: 'departments', of: 'Department', ref: 'company' }],
  },
  {
    name: 'Department',
    target: Department,
    table: 'department',
    keySql: 'id::text',
    keyOf: (one: Department) => one.id?.toString(),
    idOf: (one: Department) => one.id,
    isVersioned: false,
    scalars: [text('name', 'department')],
    refs: [
      { path: 'company', to: 'Company', nullable: false, sql: '"companyId"::text', inverse: 'departments' },
      { path: 'head', to: 'Employee', nullable: true, sql: '"headId"::text' },
    ],
    collections: [{ path: 'employees', of: 'Employee', ref: 'department' }],
  },
  {
    name: 'Employee',
    target: Employee,
    table: 'employee',
    keySql: 'id::text',
    keyOf: (one: Employee) => one.id,
    idOf: (one: Employee) => one.id,
    isVersioned: false,
    scalars: [
      text('name', 'employee'),
      {
        name: 'salary',
        get: (one: Employee) => one.salary,
        set: (one: Employee, n) => (one.salary = 9_007_199_254_740_993n + BigInt(n)),
        text: (value: bigint) => String(value),
        sql: 'salary::text',
        rival: (n) => `salary = ${9_007_199_254_740_993n + BigInt(n)}`,
      },
      {
        name: 'profile',
        get: (one: Employee) => one.profile,
        // In place where there is one, as programs do.
        set: (one: Employee, n) => (one.profile === undefined ? (one.profile = { n }) : (one.profile.n = n)),
        text: (value: { n: number }) => String(value.n),
        sql: `profile->>'n'`,
        rival: (n) => `profile = '{"n": ${n}}'`,
      },
      {
        name: 'hired',
        get: (one: Employee) => one.hired,
        set: (one: Employee, n) => {
          if (n % 3 === 0) one.hired = null;
          else if (one.hired instanceof Date) one.hired.setTime(1_600_000_000_000 + n);
          else one.hired = new Date(1_600_000_000_000 + n);
        },
        text: (value: Date | null) => (value === null ? null : String(value.getTime())),
        sql: '(extract(epoch FROM hired) * 1000)::bigint::text',
        rival: (n) => (n % 3 === 0 ? 'hired = NULL' : `hired = to_timestamp(${(1_600_000_000_000 + n) / 1000})`),
      },
    ],
    refs: [
      { path: 'department', to: 'Department', nullable: true, sql: '"departmentId"::text', inverse: 'employees' },
      { path: 'manager', to: 'Employee', nullable: true, sql: '"managerId"::text', inverse: 'reports' },
    ],
    collections: [
      { path: 'reports', of: 'Employee', ref: 'manager' },
      {
        path: 'projects',
        of: 'Project',
        other: 'members',
        owns: true,
        table: 'membership',
        keys: ['"employeeId"::text', `"projectCode" || '/' || "projectYear"`],
      },
    ],
  },
  {
    name: 'Badge',
    target: Badge,
    table: 'badge',
    keySql: 'id::text',
    keyOf: (one: Badge) => one.id,
    idOf: (one: Badge) => one.id,
    isVersioned: false,
    scalars: [text('colour', 'badge')],
    refs: [{ path: 'employee', to: 'Employee', nullable: true, unique: true, sql: '"employeeId"::text' }],
    collections: [],
  },
  {
    name: 'Project',
    target: Project,
    table: 'project',
    keySql: `code || '/' || year`,
    keyOf: (one: Project) => `${one.code}/${one.year}`,
    giveKey: (one: Project, n) => Object.assign(one, { code: `code "${n}", {x}`, year: 2000 + n }),
    idOf: (one: Project) => ({ code: one.code, year: one.year }),
    isVersioned: false,
    scalars: [text('title', 'project')],
    refs: [],
    collections: [
      { path: 'tasks', of: 'Task', ref: 'project' },
      { path: 'members', of: 'Employee', other: 'projects' },
    ],
  },
  {
    name: 'Task',
    target: Task,
    table: 'task',
    keySql: 'id::text',
    keyOf: (one: Task) => one.id?.toString(),
    idOf: (one: Task) => one.id,
    isVersioned: true,
    scalars: [
      text('title', 'task'),
      {
        name: 'effort',
        get: (one: Task) => one.effort,
        set: (one: Task, n) => (one.effort = n),
        text: (value: number) => String(value),
        sql: 'effort::text',
        rival: (n) => `effort = ${n}`,
      },
    ],
    refs: [
      {
        path: 'project',
        to: 'Project',
        nullable: false,
        sql: `"projectCode" || '/' || "projectYear"`,
        inverse: 'tasks',
      },
      { path: 'assignee', to: 'Employee', nullable: true, sql: '"assigneeId"::text' },
    ],
    collections: [
      { path: 'remarks', of: 'Remark', ref: 'task' },
      {
        path: 'labels',
        of: 'Label',
        other: 'tasks',
        owns: true,
        table: 'task_label',
        keys: ['"taskId"::text', '"labelSlug"'],
      },
    ],
  },
  {
    name: 'Remark',
    target: Remark,
    table: 'remark',
    keySql: 'id::text',
    keyOf: (one: Remark) => one.id,
    idOf: (one: Remark) => one.id,
    isVersioned: false,
    scalars: [text('text', 'remark')],
    refs: [{ path: 'task', to: 'Task', nullable: false, sql: '"taskId"::text', inverse: 'remarks' }],
    collections: [],
  },
  {
    name: 'Label',
    target: Label,
    table: 'label',
    keySql: 'slug',
    keyOf: (one: Label) => one.slug,
    giveKey: (one: Label, n) => (one.slug = `label ${n}`),
    idOf: (one: Label) => one.slug,
    isVersioned: false,
    scalars: [
      {
        name: 'colour',
        get: (one: Label) => one.colour,
        set: (one: Label, n) => (one.colour = ['red', 'green', 'blue'][n % 3]!),
        text: (value: string) => value,
        sql: 'colour::text',
        rival: (n) => `colour = '${['red', 'green', 'blue'][n % 3]!}'`,
      },
    ],
    refs: [],
    collections: [{ path: 'tasks', of: 'Task', other: 'labels' }],
  },
  {
    name: 'Document',
    target: Document,
    table: 'document',
    keySql: 'id::text',
    keyOf: (one: Document) => one.id,
    giveKey: (one: Document, n) => (one.id = String(9_000_000_000_000_000_000n + BigInt(n))),
    idOf: (one: Document) => one.id,
    isVersioned: false,
    scalars: [
      {
        name: 'bytes',
        get: (one: Document) => one.bytes,
        set: (one: Document, n) => {
          if (one.bytes?.length === 4) one.bytes.writeInt32BE(n);
          else (one.bytes = Buffer.alloc(4)).writeInt32BE(n);
        },
        text: (value: Buffer) => value.toString('hex'),
        sql: `encode(bytes, 'hex')`,
        rival: (n) => `bytes = '\\x${Buffer.from([0, 0, (n >> 8) & 255, n & 255]).toString('hex')}'`,
      },
      {
        name: 'tags',
        get: (one: Document) => one.tags,
        set: (one: Document, n) => {
          if (one.tags === undefined) one.tags = [`tag ${n}`, 'x'];
          else one.tags[0] = `tag ${n}`;
        },
        text: (value: string[]) => value[0]!,
        sql: 'tags[1]',
        rival: (n) => `tags[1] = 'tag ${n}'`,
      },
    ],
    refs: [{ path: 'owner', to: 'Employee', nullable: true, sql: '"ownerId"::text' }],
    collections: [],
  },
];

export const kindNamed = (name: string): Kind => KINDS.find((kind) => kind.name === name)!;

/** One query for all that is stored: a line for each row and for each link. */
export const ALL_ROWS = KINDS.flatMap((kind) => {
  const values = [...kind.scalars.map(({ sql }) => sql), ...(kind.isVersioned ? ['version::text'] : [])];
  const refs = kind.refs.map(({ sql }) => sql);
  const array = (parts: readonly string[]): string => `ARRAY[${parts.join(', ')}]::text[]`;
  return [
    `SELECT '${kind.name}' AS kind, ${kind.keySql} AS key, ${array(values)} AS vals, ${array(refs)} AS refs FROM ${kind.table}`,
    ...kind.collections
      .filter(({ owns }) => owns === true)
      .map(
        ({ path, table, keys }) =>
          `SELECT '${kind.name}.${path}', ${keys![0]}, ARRAY[${keys![1]}]::text[], ARRAY[]::text[] FROM ${table!}`,
      ),
  ];
}).join(' UNION ALL ');

/** Empties every table; a circle of foreign keys is opened first. */
export const EMPTY = [
  // A transaction that was left open would hold its rows for ever.
  `SET lock_timeout = '5s'`,
  'UPDATE department SET "headId" = NULL',
  ...['membership', 'task_label', 'remark', 'task', 'badge', 'document', 'employee', 'department', 'company'].map(
    (table) => `DELETE FROM ${table}`,
  ),
  'DELETE FROM project',
  'DELETE FROM label',
].join('; ');
