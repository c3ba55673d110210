/**
 * What Node.js reads only once in the life of a process: where a link among the packages leads, and what a
 * `package.json` says of how its files are loaded. It is noted of each package from which something was found. If it
 * has changed, a reload is refused, since it would load the old one.
 */

import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { toRealPath } from './real-path.ts';

const DECIDING = ['type', 'main', 'exports', 'imports'];

/** What was read first. */
export interface Memory {
  /** Where the directory is, or what its `package.json` says. */
  of: 'place' | 'manifest';
  directory: string;
  value: string;
}

const memories = new Map<string, Memory>();

/**
 * @param path of a package's directory, or of a file
 * @throws Error where it is not as it was when it was first found
 */
export function refuseRemembered(path: string): void {
  const isPackage = existsSync(join(path, 'package.json'));
  if (isPackage) refuse(remember('place', path));
  refuse(remember('manifest', isPackage ? path : dirname(toRealPath(path))));
}

/** @returns what was there before, if anything */
export function remember(of: Memory['of'], directory: string, tell?: (memory: Memory) => void) {
  const known = memories.get(keyOf(of, directory));
  if (known !== undefined) return known;
  const memory = { of, directory, value: read(of, directory) };
  addMemory(memory);
  tell?.(memory);
  return memory;
}

/** Of another thread's. */
export function addMemory(memory: Memory): void {
  const key = keyOf(memory.of, memory.directory);
  if (!memories.has(key)) memories.set(key, memory);
}

/** @throws Error where a package from which something was found, and which is still there, has changed */
export function refuseChanged(): void {
  for (const memory of memories.values()) {
    if (existsSync(memory.directory)) refuse(memory);
  }
}

function keyOf(of: Memory['of'], directory: string): string {
  return `${of} ${directory}`;
}

function refuse({ of, directory, value }: Memory): void {
  if (read(of, directory) === value) return;
  const changed =
    of === 'place'
      ? `${directory} leads elsewhere than at the start`
      : `${findManifest(directory) ?? join(directory, 'package.json')} is not as it was at the start`;
  throw new Error(`${changed}, and Node.js looks at that once: it takes a start`);
}

function read(of: Memory['of'], directory: string): string {
  return of === 'place' ? toRealPath(directory) : decidingOf(readManifest(directory));
}

/** What the `package.json` says that holds for the files of a directory; of none, nothing. */
export function readManifest(directory: string): object {
  const manifest = findManifest(directory);
  try {
    return manifest === undefined ? {} : Object(JSON.parse(readFileSync(manifest, 'utf8')));
  } catch {
    // Node.js itself says what is wrong with it, when it needs it.
    return { type: 'unreadable' };
  }
}

/** Not above `node_modules`: a package without one has none. */
export function findManifest(directory: string): string | undefined {
  const manifest = join(directory, 'package.json');
  if (existsSync(manifest)) return manifest;
  const above = dirname(directory);
  return above === directory || basename(above) === 'node_modules'
    ? undefined
    : findManifest(above);
}

function decidingOf(manifest: object): string {
  return JSON.stringify(DECIDING.map((key) => Reflect.get(manifest, key) ?? null));
}
