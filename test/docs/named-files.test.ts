/** Files that the documents, the comments and the configuration of this repository name are there. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PLACES = ['docs', 'src', 'plugins', 'scripts', 'examples', '.ci'];
/** From the root, as nothing else here begins with these names. */
const NAMED =
  /(?<![\w@/.*-])(?:\.\/)?((?:examples|scripts|plugins|src|bench|docs)(?:\/[\w.-]+)+\.(?:[cm]?[jt]s|md|json|sh))\b/g;

function textsOf(place: string): [string, string][] {
  return readdirSync(join(ROOT, place), { recursive: true, encoding: 'utf8' })
    .filter(
      (name) => /\.(?:[cm]?[jt]s|md|json)$|^run$/.test(name) && !name.includes('node_modules'),
    )
    .map((name) => [join(place, name), readFileSync(join(ROOT, place, name), 'utf8')]);
}

test('every file of this repository that one of its files names is there', () => {
  const top = readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:md|ts)$/.test(entry.name))
    .map(({ name }): [string, string] => [name, readFileSync(join(ROOT, name), 'utf8')]);
  const named = [...top, ...PLACES.flatMap(textsOf)].flatMap(([file, text]) =>
    [...text.matchAll(NAMED)].map(([, path = '']) => ({ file, path })),
  );
  assert.ok(named.length > 50);
  // What is built is named by what it is built from.
  const isThere = (path: string) =>
    [path, path.replace(/\.js$/, '.ts')].some((name) => existsSync(join(ROOT, name)));
  assert.deepEqual(
    named.filter(({ path }) => !isThere(path)),
    [],
  );
});
