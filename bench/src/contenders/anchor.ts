/** Whom all others are compared with: pg by hand, or a bare application; undefined where neither takes part. */
export function anchorOf<One extends { readonly contender: string }>(all: readonly One[]): One | undefined {
  return all.find(({ contender }) => contender === 'pg') ?? all.find(({ contender }) => contender === 'bare Nest');
}
