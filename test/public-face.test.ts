/**
 * Our own hook modules and the PostgreSQL storage are built on what is published, as anybody's package
 * would be: each name that they import from the rest of `src` is one that `src/index.ts`, or another
 * file behind the `exports` of package.json, gives to all, from the same file and by the same name.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import manifest from '../package.json' with { type: 'json' };

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** As strangers' packages: what is in one of them is its own affair. */
const PACKAGES = ['src/hooks/builtin', 'src/storage/postgres'];

/** `import` and `export`, of names or of all, and `import('…')`. */
const STATEMENT =
  /\b(?:(import|export)\b\s*(?:type\s+)?(?:(\{[^}]*\}|\*(?:\s+as\s+\w+)?|\w+)\s*from\s*)?|import\s*\(\s*)'(\.{1,2}\/[^']+\.ts)'/g;

interface Reference {
  kind: 'import' | 'export';
  /** `default`, `*`, or as it is called there and here. */
  names: { there: string; here: string }[];
  to: string;
}

function referencesOf(file: string): Reference[] {
  const code = readFileSync(join(ROOT, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  return [...code.matchAll(STATEMENT)].map(([, kind, names = '*', specifier = '']) => ({
    kind: kind === 'export' ? 'export' : 'import',
    names: namesOf(names),
    to: normalize(join(dirname(file), specifier)).replaceAll(sep, '/'),
  }));
}

function namesOf(text: string): Reference['names'] {
  if (!text.startsWith('{')) {
    const there = text.startsWith('*') ? '*' : 'default';
    return [{ there, here: text }];
  }
  const names = text.slice(1, -1).split(',');
  return names.flatMap((name) => {
    const [there = '', here = there] = name
      .trim()
      .replace(/^type\s+/, '')
      .split(/\s+as\s+/);
    return there === '' ? [] : [{ there, here }];
  });
}

/** Every name that a stranger can import, as the file that it is from and what it is called there. */
function published(): Set<string> {
  const targets = Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [] : [target.default],
  );
  const sources = targets.map((path) => path.replace('./dist/', '').replace(/\.js$/, '.ts'));
  return new Set(
    sources.flatMap((file) => [
      ...[...readFileSync(join(ROOT, file), 'utf8').matchAll(OWN_EXPORT)].map(
        ([, name = 'default']) => `${file} ${name}`,
      ),
      ...referencesOf(file).flatMap(({ kind, names, to }) =>
        kind === 'import' ? [] : names.map(({ there, here }) => `${to} ${there}${as(there, here)}`),
      ),
    ]),
  );
}

/** What a published file declares by itself. */
const OWN_EXPORT =
  /^export (?:default\b|(?:async )?(?:function\*?|const|class|type|interface) (\w+))/gm;

/** Of a name that is another one outside, which is not the one that is imported here. */
function as(there: string, here: string): string {
  return there === here ? '' : ` as ${here}`;
}

for (const folder of PACKAGES) {
  test(`${folder} imports what is published, and nothing else of ours`, () => {
    const names = published();
    assert.ok(names.size > 50, 'what is published is found');
    const files = readdirSync(join(ROOT, folder)).map((name) => `${folder}/${name}`);
    const imported = files.flatMap((file) =>
      referencesOf(file)
        .filter(({ to }) => !to.startsWith(`${folder}/`))
        .flatMap(({ names, to }) => names.map(({ there }) => ({ file, name: `${to} ${there}` }))),
    );
    assert.ok(imported.length > 10, 'imports are found');
    assert.deepEqual(
      imported.filter(({ name }) => !names.has(name)),
      [],
    );
  });
}

test('the docs know every function, class and constant that is published', async () => {
  const index: object = await import('../src/index.ts');
  const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  const text = pages.map((name) => readFileSync(join(ROOT, 'docs', name), 'utf8')).join('\n');
  const words = new Set(text.match(/\w+/g));
  assert.deepEqual(
    Object.keys(index).filter((name) => !words.has(name)),
    [],
  );
});
