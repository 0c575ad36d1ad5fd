/** What Express's and Fastify's replies have in common, for handlers that set a header of their own. */
export interface ResponseHeaders {
  header(name: string, value: string): unknown;
}
