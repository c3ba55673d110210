/**
 * What the name of this package means inside the files that it loads: this very
 * installation, even where the file has no `node_modules` above it and where this
 * runs from its sources. A second copy would bring second classes, and an error that
 * a hook throws would not be recognised.
 */

import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { Type } from 'typebox';
import { Parse } from 'typebox/value';

const PackageSchema = Type.Object({
  name: Type.String(),
  version: Type.String(),
  exports: Type.Record(
    Type.String(),
    Type.Union([Type.String(), Type.Object({ default: Type.String() })]),
  ),
});

/** `.ts` where this runs from its sources, `.js` where from its build in `dist`. */
export const SOURCE_EXTENSION = extname(import.meta.url);

const isBuilt = SOURCE_EXTENSION === '.js';
const rootUrl = new URL(isBuilt ? '../../../' : '../../', import.meta.url);
const manifest = Parse(
  PackageSchema,
  JSON.parse(readFileSync(new URL('package.json', rootUrl), 'utf8')),
);

export const PACKAGE_NAME = manifest.name;
export const PACKAGE_VERSION = manifest.version;

function targetToUrl(target: string): string {
  const path = isBuilt ? target : target.replace(/^\.\/dist\//, './').replace(/\.js$/, '.ts');
  return new URL(path, rootUrl).href;
}

/** Every published specifier of this package and the file behind it. */
export const OWN_URLS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(manifest.exports).map(([subpath, target]) => [
    `${PACKAGE_NAME}${subpath.slice(1)}`,
    targetToUrl(typeof target === 'string' ? target : target.default),
  ]),
);
