/**
 * Where a file is, with all links followed, now. Node.js remembers for good where a link has led, and what is
 * mounted from a Kubernetes ConfigMap or Secret changes by a link that then leads elsewhere: so nothing
 * is imported by a path with links in it.
 */

import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Of what is not there, such as a name without its extension, the directory is. */
export function toRealPath(path: string): string {
  return real(path) ?? join(real(dirname(path)) ?? dirname(path), basename(path));
}

function real(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

const FILE_PATH = /^(?:\.{1,2}(?:[\\/]|$)|\/|[a-z]:[\\/])/i;
const DIRECTORY = /(?:^|[\\/])\.{0,2}$/;

/** @param parent the file that requires it. @returns what is no path of a file as it was */
export function toRealRequest(request: string, parent: string): string {
  if (!FILE_PATH.test(request)) return request;
  const [path = '', query] = request.split('?');
  const found = toRealPlace(resolve(dirname(parent), path), DIRECTORY.test(path));
  return query === undefined ? found : `${found}?${query}`;
}

/** @param parent the file that imports it. @returns what is no URL or path of a file as it was */
export function toRealSpecifier(specifier: string, parent: string): string {
  if (!FILE_PATH.test(specifier) && !specifier.startsWith('file:')) return specifier;
  const url = new URL(specifier, pathToFileURL(parent));
  const path = fileURLToPath(url);
  const found = pathToFileURL(toRealPlace(resolve(path), DIRECTORY.test(path)));
  return `${found}${url.search}${url.hash}`;
}

/** A directory whose name a file has too, but for its extension, keeps that name: Node.js prefers the file. */
function toRealPlace(path: string, isDirectory: boolean): string {
  if (isDirectory) return join(toRealPath(path), sep);
  const found = toRealPath(path);
  return isDirectoryAt(found) && hasNamesakes(path)
    ? join(toRealPath(dirname(path)), basename(path))
    : found;
}

function hasNamesakes(path: string): boolean {
  return readdirSync(dirname(path)).some((name) => name.startsWith(`${basename(path)}.`));
}

function isDirectoryAt(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}
