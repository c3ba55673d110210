/** `npm ci` must work on any platform and from any registry. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';

interface LockedPackage {
  version?: string;
  resolved?: string;
  /** A package of this repository. */
  link?: boolean;
  integrity?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  dev?: boolean;
  engines?: { node?: string } | string[];
}

function readJson(name: string) {
  return JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));
}

const manifest: LockedPackage = readJson('package.json');
const packages: Record<string, LockedPackage> = readJson('package-lock.json').packages;
const installed = Object.entries(packages).filter(
  ([path, { link }]) => path.includes('node_modules/') && !link,
);
const own = Object.entries(packages).filter(([, { link }]) => link);

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

it('what belongs to this repository is a folder of it', () => {
  for (const [path, { resolved = '' }] of own) assert.match(resolved, /^packages\/\w+$/, path);
});

it('the lockfile holds the packages of all platforms, not only of the one it was made on', () => {
  const names = new Set(installed.map(([path]) => path.split('node_modules/').at(-1)));
  for (const [path, { optionalDependencies = {} }] of installed) {
    for (const name of Object.keys(optionalDependencies)) {
      assert(names.has(name), `${path} wants ${name}, which npm ci will not find in the lockfile`);
    }
  }
});

/** Such as `>=20`, `^18 || ^20 || >= 21` and `20 || >=22`. */
function acceptsOldest(range: string): boolean {
  return range.split('||').some((part) => {
    const [, operator = '', major, minor = '0'] =
      /^\s*(>=|\^|~)?\s*v?(\d+)(?:\.(\d+))?/.exec(part) ?? [];
    const isBelow = Number(major) < 20 || (Number(major) === 20 && Number(minor) <= 19);
    return operator === '>=' ? isBelow : Number(major) === 20 && isBelow;
  });
}

it('no package warns on the oldest Node.js that this one supports', () => {
  assert.equal(readJson('package.json').engines.node, '>=20.19');
  const wrong = installed.filter(([, { engines }]) => {
    const { node = '*' } = Array.isArray(engines) ? {} : (engines ?? {});
    return node !== '*' && !acceptsOldest(node);
  });
  assert.deepEqual(
    wrong.map(([path, { engines }]) => [path, engines]),
    [],
  );
});

it('what is installed for production has no compiler', () => {
  // By its own name it would be one: cosmiconfig may use it, so npm keeps one that it finds.
  const shipped = installed.filter(([, { dev }]) => dev !== true).map(([path]) => path);
  assert.ok(shipped.includes('node_modules/cosmiconfig'));
  assert.deepEqual(
    shipped.filter((path) => /typescript|node_modules\/tsc$/.test(path)),
    [],
  );
});
