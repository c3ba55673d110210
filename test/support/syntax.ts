/**
 * The product's own code as syntax trees, for tests of what no code of it may do. TypeScript
 * calls this way of asking it unstable, so nothing else here knows of it.
 */

import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isStringLiteral, type Node, type SourceFile } from 'tsc/unstable/ast';
import { API, type Project, TypeFlags } from 'tsc/unstable/sync';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceModule {
  /** From the root, such as `src/errors/sync-error.ts`. */
  path: string;
  source: SourceFile;
}

export interface Sources {
  modules: SourceModule[];
  /** The text that an expression always has, as far as its type tells. */
  constantText(node: Node): string | undefined;
  isText(node: Node): boolean;
}

/** What is shipped, `src` and `plugins`; or the same of another project. */
export function readSources(t: { after(work: () => void): void }, root = ROOT): Sources {
  const api = new API({ cwd: root });
  const snapshot = api.updateSnapshot({ openProjects: [join(root, 'tsconfig.json')] });
  t.after(() => {
    snapshot.dispose();
    api.close();
  });
  const [project] = snapshot.getProjects();
  if (project === undefined) throw new Error('there is no project');
  return {
    modules: modulesOf(project, root),
    constantText: (node) => constantText(project, node),
    isText: (node) => {
      const { flags = TypeFlags.Never } = project.checker.getTypeAtLocation(node) ?? {};
      return (flags & TypeFlags.StringLike) !== 0;
    },
  };
}

function modulesOf({ rootFiles, program }: Project, root: string): SourceModule[] {
  return rootFiles.flatMap((file) => {
    const path = relative(root, file);
    if (!/^(?:src|plugins)\//.test(path)) return [];
    const source = program.getSourceFile(file);
    return source === undefined ? [] : [{ path, source }];
  });
}

function constantText({ checker }: Project, node: Node): string | undefined {
  if (isStringLiteral(node)) return node.text;
  const type = checker.getTypeAtLocation(node);
  return type?.isStringLiteralType() ? type.value : undefined;
}

/** A node and all below it, parents first. */
export function* nodesOf(node: Node): Generator<Node> {
  yield node;
  const children: Node[] = [];
  node.forEachChild((child) => {
    children.push(child);
  });
  for (const child of children) yield* nodesOf(child);
}

/** Where something stands, for a message. */
export function placeOf({ path, source }: SourceModule, node: Node): string {
  const line = source.text.slice(0, node.getStart(source)).split('\n').length;
  return `${path}:${line}: ${node.getText(source)}`;
}
