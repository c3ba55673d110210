/**
 * What Node.js reads only once in the life of a process: where a link among the packages leads, and what a
 * `package.json` says of how its files are loaded. If that has changed for a module, the reload is refused,
 * since it would load the old one.
 */

import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { toRealPath } from './real-path.ts';

const DECIDING = ['type', 'main', 'exports', 'imports'];

/** By the path that Node.js asks for. */
const remembered = new Map<string, string>();

/**
 * @param path of a package's directory, or of a file
 * @throws Error where it is not as it was when it was first asked for
 */
export function refuseRemembered(path: string): void {
  const isPackage = existsSync(join(path, 'package.json'));
  if (isPackage) remember(path, toRealPath(path), 'the package is elsewhere than at the start');
  const manifest = findManifest(isPackage ? path : dirname(toRealPath(path)));
  if (manifest === undefined) return;
  remember(manifest, readDeciding(manifest), `${manifest} is not as it was at the start`);
}

function remember(path: string, value: string, changed: string): void {
  const before = remembered.get(path);
  remembered.set(path, before ?? value);
  if (before === undefined || before === value) return;
  throw new Error(`${changed}, and Node.js looks at that once: it takes a start`);
}

/** Not above `node_modules`: a package without one has none. */
function findManifest(directory: string): string | undefined {
  const manifest = join(directory, 'package.json');
  if (existsSync(manifest)) return manifest;
  const above = dirname(directory);
  return above === directory || basename(above) === 'node_modules'
    ? undefined
    : findManifest(above);
}

function readDeciding(manifest: string): string {
  const said: unknown = JSON.parse(readFileSync(manifest, 'utf8'));
  return JSON.stringify(DECIDING.map((key) => Reflect.get(Object(said), key) ?? null));
}
