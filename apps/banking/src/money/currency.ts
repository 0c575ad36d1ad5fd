/** The currencies in which the bank keeps accounts, by ISO 4217 code. The schema holds one settlement account each. */
export const CURRENCIES = ['CHF', 'EUR', 'GBP', 'JPY', 'USD'] as const;

/** An ISO 4217 code of {@link CURRENCIES}. */
export type Currency = (typeof CURRENCIES)[number];
