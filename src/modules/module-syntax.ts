/** Files that Node.js cannot `require` anew: ES modules, whose cache cannot be emptied, and TypeScript. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';

const ALWAYS = new Set(['.ts', '.mts', '.cts', '.mjs']);
const STATEMENT = /^[ \t]*(?:import|export)\b/m;

/** Whether a file has to be translated to be required anew. */
export function needsTranslation(path: string): boolean {
  const extension = extname(path);
  if (ALWAYS.has(extension)) return true;
  if (extension !== '.js') return false;
  const type = packageType(path);
  return type === 'module' || (type === undefined && STATEMENT.test(readFileSync(path, 'utf8')));
}

/** What the nearest `package.json` says. */
function packageType(path: string): unknown {
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    const manifest = join(directory, 'package.json');
    if (existsSync(manifest)) {
      return Reflect.get(Object(JSON.parse(readFileSync(manifest, 'utf8'))), 'type');
    }
    if (directory === dirname(directory) || directory.endsWith('node_modules')) return undefined;
  }
}
