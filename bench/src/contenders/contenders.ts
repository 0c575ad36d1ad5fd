/** Who is measured, in the order of the tables. */
export const contenders = {
  pg: 'pg by hand',
  'pg-pipeline': 'pg, pipeline',
  typeorm: 'TypeORM',
  'typeorm-transactional': 'typeorm-transactional',
  'nestjs-cls': 'nestjs-cls',
  'mikro-orm': 'MikroORM',
  drizzle: 'Drizzle',
  'nestjs-uow': 'nestjs-uow',
} as const;

export type Contender = keyof typeof contenders;

export const contenderNames = Object.keys(contenders) as Contender[];
