/** `npm ci` must work on any platform and from any registry. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';

interface LockedPackage {
  version?: string;
  resolved?: string;
  integrity?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

function readJson(name: string) {
  return JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));
}

const manifest: LockedPackage = readJson('package.json');
const packages: Record<string, LockedPackage> = readJson('package-lock.json').packages;
const installed = Object.entries(packages).filter(([path]) => path !== '');

it('the lockfile is in step with package.json', () => {
  const root = packages[''];
  assert.equal(root?.version, manifest.version);
  assert.deepEqual(root?.dependencies, manifest.dependencies);
  assert.deepEqual(root?.devDependencies, manifest.devDependencies);
});

it('the lockfile holds what each package must be, and not where it was got', () => {
  for (const [path, { resolved, integrity }] of installed) {
    assert.equal(resolved, undefined, path);
    assert.match(integrity ?? '', /^sha512-/, path);
  }
});

it('the lockfile holds the packages of all platforms, not only of the one it was made on', () => {
  const names = new Set(installed.map(([path]) => path.split('node_modules/').at(-1)));
  for (const [path, { optionalDependencies = {} }] of installed) {
    for (const name of Object.keys(optionalDependencies)) {
      assert(names.has(name), `${path} wants ${name}, which npm ci will not find in the lockfile`);
    }
  }
});
