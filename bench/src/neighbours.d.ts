// The neighbours are installed only where benchmarks run; type check and lint do without them.
declare module '@mikro-orm/core';
declare module '@mikro-orm/postgresql';
declare module '@nestjs-cls/transactional';
declare module '@nestjs-cls/transactional-adapter-typeorm';
declare module 'drizzle-orm';
declare module 'drizzle-orm/node-postgres';
declare module 'drizzle-orm/pg-core';
declare module 'nestjs-cls';
declare module 'pg-copy-streams';
declare module 'typeorm-transactional';
