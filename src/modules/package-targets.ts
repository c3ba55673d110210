/** Which files a `package.json` may mean by what is imported from its package, or by its own `#` names. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join } from 'node:path';
import { findManifest, readManifest } from './remembered-packages.ts';

/** The directory of a package that a file imports, with the links that lead there. */
export function findPackage(specifier: string, parent: string): string | undefined {
  if (!isAbsolute(parent)) return undefined;
  const name = packageNameOf(specifier);
  const folders = createRequire(parent).resolve.paths(name) ?? [];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** @returns paths, with the links in them; some without their extension, some of directories */
export function findTargets(specifier: string, parent: string): string[] {
  const own = dirname(parent);
  const home = dirname(findManifest(own) ?? join(own, 'package.json'));
  const { imports, name, exports } = readManifest(own) as Record<string, unknown>;
  if (specifier.startsWith('#')) {
    return matching(imports, specifier).flatMap((target) =>
      target.startsWith('./') ? [join(home, target)] : packageTargets(target, parent),
    );
  }
  const isOwn = exports !== undefined && packageNameOf(specifier) === name;
  return isOwn ? exported(home, exports, specifier) : packageTargets(specifier, parent);
}

function packageTargets(specifier: string, parent: string): string[] {
  const directory = findPackage(specifier, parent);
  if (directory === undefined) return [];
  const { main, exports } = readManifest(directory) as Record<string, unknown>;
  if (exports !== undefined && exports !== null) return exported(directory, exports, specifier);
  const subpath = specifier.slice(packageNameOf(specifier).length);
  if (subpath !== '') return [join(directory, subpath)];
  return [...(typeof main === 'string' ? [join(directory, main)] : []), directory];
}

function exported(directory: string, exports: unknown, specifier: string): string[] {
  const subpath = `.${specifier.slice(packageNameOf(specifier).length)}`;
  const keys = Object.keys(Object(exports));
  const isMap = typeof exports === 'object' && keys.some((key) => key.startsWith('.'));
  const targets = isMap ? matching(exports, subpath) : leavesOf(exports);
  return targets.map((target) => join(directory, target));
}

/** By the name itself, or by a pattern with a star. */
function matching(map: unknown, name: string): string[] {
  const said = Object(map);
  if (Object.hasOwn(said, name)) return leavesOf(said[name]);
  return Object.entries(said).flatMap(([pattern, value]) => {
    const [start = '', end] = pattern.split('*');
    const isMatch = end !== undefined && name.startsWith(start) && name.endsWith(end);
    if (!isMatch || name.length < pattern.length) return [];
    const star = name.slice(start.length, name.length - end.length);
    return leavesOf(value).map((target) => target.replaceAll('*', star));
  });
}

/** Of all conditions. */
function leavesOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(leavesOf) : [];
}

function packageNameOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}
