/** What to say of a value that cannot be converted to what its column stores, such as a json that contains itself. */
export function unsendable(where: string, cause: unknown): string {
  const [reason] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
  return `${where} cannot be sent: ${reason!.replace(/\.$/, '')}. Set a value that the column can store.`;
}
