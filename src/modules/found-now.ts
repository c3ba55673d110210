/**
 * Asks Node.js for a file as often as it takes to have the one that a new process would find. What is asked for by a
 * path was freed of links before. What is found in another way (without its extension, by the index of a
 * directory, by names of a `package.json`) may come through links that Node.js has followed once, and does not again.
 */

import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, extname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findPackage, findTargets } from './package-targets.ts';
import { toRealPath } from './real-path.ts';
import { findManifest, type Memory, readManifest, remember } from './remembered-packages.ts';

export interface Asked<Found> {
  /** A path, a URL of a file, or a name; without links. */
  request: string;
  /** The path of the file that asks. */
  parent: string;
  /** How a file is asked for by its path. */
  toRequest(path: string): string;
  /** The path of what was found, or what else it is. */
  pathOf(found: Found): string;
  /** Is told what was read of a package for the first time. */
  tell?(memory: Memory): void;
}

/** Yields what Node.js is to be asked for, and is given what it found. */
export type Search<Found> = Generator<string, Found, Found>;

export function* searchNow<Found>(asked: Asked<Found>): Search<Found> {
  const { request, parent, toRequest, pathOf } = asked;
  const found = yield request;
  const path = pathOf(found);
  if (!isAbsolute(path)) return found;
  rememberPackages(path, asked);
  const now = toRealPath(path);
  if (now !== path) return yield toRequest(now);
  if (isWhereAsked(path, request)) return found;

  const candidates = candidatesOf(request, parent).sort(bySameExtension(path));
  if (candidates.some((candidate) => toRealPath(candidate) === path)) return found;
  for (const candidate of candidates) {
    let before: string;
    try {
      before = pathOf(yield toRequest(candidate));
    } catch {
      continue;
    }
    if (before === path) return yield toRequest(toRealPath(candidate));
  }
  if (existsSync(path)) return found;
  throw new Error(
    `"${request}", imported from ${parent}, was ${path}, which is gone, and Node.js looks at links once: it takes a start`,
  );
}

export function searchSync<Found>(search: Search<Found>, find: (request: string) => Found): Found {
  let step = search.next();
  while (!step.done) {
    let found: Found;
    try {
      found = find(step.value);
    } catch (error) {
      step = search.throw(error);
      continue;
    }
    step = search.next(found);
  }
  return step.value;
}

export async function searchAsync<Found>(
  search: Search<Found>,
  find: (request: string) => Promise<Found> | Found,
): Promise<Found> {
  let step = search.next();
  while (!step.done) {
    let found: Found;
    try {
      found = await find(step.value);
    } catch (error) {
      step = search.throw(error);
      continue;
    }
    step = search.next(found);
  }
  return step.value;
}

function rememberPackages<Found>(path: string, { request, parent, tell }: Asked<Found>): void {
  remember('manifest', dirname(path), tell);
  const directory = isFile(request) ? undefined : findPackage(request, parent);
  if (directory === undefined) return;
  remember('place', directory, tell);
  remember('manifest', directory, tell);
}

function isFile(request: string): boolean {
  return isAbsolute(request) || request.startsWith('file:');
}

function toFilePath(request: string): string {
  const path = request.startsWith('file:') ? fileURLToPath(request) : request;
  return path.split('?')[0] ?? '';
}

/** No link has changed it: most of what is asked for by a path, with or without an extension. */
function isWhereAsked(path: string, request: string): boolean {
  if (!isFile(request) || !existsSync(path)) return false;
  const asked = toFilePath(request);
  return (
    path === asked ||
    path === asked + extname(path) ||
    path === withoutExtension(asked) + extname(path)
  );
}

function candidatesOf(request: string, parent: string): string[] {
  const targets = isFile(request) ? [toFilePath(request)] : findTargets(request, parent);
  return targets.flatMap(filesFor);
}

/** What Node.js and tsx take a path for: that file, one with another extension, the index of a directory. */
function filesFor(path: string): string[] {
  const stats = existsSync(path) ? statSync(path) : undefined;
  if (stats?.isFile()) return [path];
  const beside = namesIn(dirname(path))
    .filter((name) => withoutExtension(name) === basename(path) || isSameButExtension(name, path))
    .map((name) => join(dirname(path), name));
  if (!stats?.isDirectory()) return beside;
  const within = namesIn(path).filter((name) => withoutExtension(name) === 'index');
  const main = mainOf(path);
  return [
    ...beside,
    ...within.map((name) => join(path, name)),
    ...(main === undefined || main === path ? [] : filesFor(main)),
  ];
}

function mainOf(directory: string): string | undefined {
  const said: unknown =
    findManifest(directory) === join(directory, 'package.json')
      ? Reflect.get(readManifest(directory), 'main')
      : undefined;
  return typeof said === 'string' ? join(directory, said) : undefined;
}

function isSameButExtension(name: string, path: string): boolean {
  return withoutExtension(name) === withoutExtension(basename(path));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function withoutExtension(path: string): string {
  return path.slice(0, path.length - extname(path).length);
}

/** A file of the same kind is the likeliest, as tsx may take another one for it. */
function bySameExtension(path: string): (a: string, b: string) => number {
  const rank = (other: string) => (extname(other) === extname(path) ? 0 : 1);
  return (a, b) => rank(a) - rank(b);
}
