import type { FactoryProvider } from '@nestjs/common';
import type { ServedDataSource } from './uow-application.js';

/** How the served data source is made; its own providers are made from it. */
export type ServedFactory = Omit<FactoryProvider<ServedDataSource>, 'provide'>;

/** The providers of one data source. */
export function createProviders(name: string, served: ServedFactory): FactoryProvider[] {
  return [{ ...served, provide: `UowDataSource:${name}` }];
}
