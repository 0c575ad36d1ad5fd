import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/**
 * Examples in the documentation are regions of real files, of the sample application or of files that tests run:
 *
 *     <!-- from test/docs/examples/transfer.ts#service -->
 *     ```ts
 *     …
 *     ```
 *
 * shows what stands between `// #region service` and `// #endregion` of that file. A block that only names
 * things (a signature, a fragment of another library's code) says so: `<!-- not run: why -->`.
 */
export interface CodeBlock {
  /** The document, from the root of the repository. */
  readonly document: string;
  /** Line of its opening fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** What the comment right above it says; `null` without one. */
  readonly source: string | null;
}

const ROOT = new URL('../../', import.meta.url).pathname;
const SOURCE = /^<!--\s*(?<source>(?:from|not run:)\s.*?)\s*-->$/;

function documents(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return documents(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

/** All fenced blocks of the README, of the sample's, and of `docs/`. */
export function codeBlocks(): CodeBlock[] {
  const readmes = ['README.md', 'apps/banking/README.md'].map((path) => join(ROOT, path));
  return [...readmes, ...documents(join(ROOT, 'docs'))].flatMap((path) => {
    const blocks: CodeBlock[] = [];
    const lines = readFileSync(path, 'utf8').split('\n');
    for (let index = 0; index < lines.length; index += 1) {
      const fence = /^(?<indent> *)```(?<language>\w+)$/.exec(lines[index] as string)?.groups;
      if (fence === undefined) continue;
      const end = lines.findIndex((line, at) => at > index && line.trim() === '```');
      let above = index - 1;
      while (above >= 0 && lines[above]?.trim() === '') above -= 1;
      blocks.push({
        document: relative(ROOT, path),
        line: index + 1,
        language: fence.language as string,
        code: dedent(lines.slice(index + 1, end)),
        source: SOURCE.exec(lines[above]?.trim() ?? '')?.groups?.source ?? null,
      });
      index = end;
    }
    return blocks;
  });
}

/**
 * Reads a region of a file.
 * @param source `path#region`, from the root of the repository
 */
export function region(source: string): string {
  const [path, name] = source.split('#') as [string, string | undefined];
  const lines = readFileSync(join(ROOT, path), 'utf8').split('\n');
  if (name === undefined) return dedent(lines);
  const start = lines.findIndex((line) => line.trim() === `// #region ${name}`);
  if (start === -1) throw new Error(`${path} has no region ${name}`);
  const end = lines.findIndex((line, at) => at > start && line.trim().startsWith('// #endregion'));
  return dedent(lines.slice(start + 1, end));
}

function dedent(lines: readonly string[]): string {
  const indent = Math.min(
    ...lines.filter((line) => line.trim() !== '').map((line) => /^ */.exec(line)?.[0].length ?? 0),
  );
  return lines
    .map((line) => line.slice(indent))
    .join('\n')
    .trim();
}
