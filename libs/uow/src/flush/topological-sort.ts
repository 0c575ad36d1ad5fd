/**
 * Order over plain numbers, for tables and for rows alike. No I/O, nothing of entities: what is ordered are
 * nodes 0 … n-1, and an edge says which node has to come before which.
 */

/** The groups of nodes that reach each other, each group after all groups that its nodes need (Tarjan's algorithm, without recursion). */
export function dependencyGroups(count: number, needs: (node: number) => readonly number[]): number[][] {
  const order = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const onStack = new Uint8Array(count);
  const stack: number[] = [];
  const groups: number[][] = [];
  let next = 0;

  for (let root = 0; root < count; root++) {
    if (order[root] !== -1) continue;
    const path: { node: number; edges: readonly number[]; at: number }[] = [];
    const enter = (node: number): void => {
      order[node] = low[node] = next++;
      stack.push(node);
      onStack[node] = 1;
      path.push({ node, edges: needs(node), at: 0 });
    };
    enter(root);
    while (path.length > 0) {
      const frame = path[path.length - 1]!;
      const { node } = frame;
      if (frame.at < frame.edges.length) {
        const needed = frame.edges[frame.at++]!;
        if (order[needed] === -1) enter(needed);
        else if (onStack[needed] === 1) low[node] = Math.min(low[node]!, order[needed]!);
        continue;
      }
      path.pop();
      const parent = path[path.length - 1];
      if (parent !== undefined) low[parent.node] = Math.min(low[parent.node]!, low[node]!);
      if (low[node] === order[node]) {
        const group: number[] = [];
        let member: number;
        do {
          member = stack.pop()!;
          onStack[member] = 0;
          group.push(member);
        } while (member !== node);
        groups.push(group.sort((a, b) => a - b));
      }
    }
  }
  return groups;
}

/** How far each node is from the nodes that need nothing: level 0 first, each node one behind the farthest it needs. Null when there is a circle. */
export function levels(count: number, needs: (node: number) => readonly number[]): number[] | null {
  const level = new Array<number>(count).fill(0);
  for (const group of dependencyGroups(count, needs)) {
    const node = group[0]!;
    const needed = needs(node);
    if (group.length > 1 || needed.includes(node)) return null;
    for (const other of needed) level[node] = Math.max(level[node]!, level[other]! + 1);
  }
  return level;
}
