/** Which version of a package a module comes from. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isFileSpecifier } from './import-module.ts';
import { PACKAGE_NAME, PACKAGE_VERSION } from './own-package.ts';

/**
 * @param url where the module was found: a file, or the directory of its package
 * @returns `undefined` for a file of the project's own, and where no version is to be found
 */
export function findPackageVersion(specifier: string, url: string): string | undefined {
  if (specifier === PACKAGE_NAME || specifier.startsWith(`${PACKAGE_NAME}/`)) {
    return PACKAGE_VERSION;
  }
  if (isFileSpecifier(specifier) || !url.startsWith('file:')) return undefined;
  for (let dir = fileURLToPath(url); ; dir = dirname(dir)) {
    const version = readVersion(join(dir, 'package.json'));
    if (version !== undefined || dir === dirname(dir)) return version;
  }
}

function readVersion(path: string): string | undefined {
  try {
    const version: unknown = Reflect.get(Object(JSON.parse(readFileSync(path, 'utf8'))), 'version');
    return typeof version === 'string' ? version : undefined;
  } catch {
    return undefined;
  }
}
