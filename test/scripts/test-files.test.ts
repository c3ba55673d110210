/** No test may be left out: `npm test`, `npm run proof` and scripts that name a file are all that ever runs them. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAKES_TESTS = /^import (?!type ).*\b(test|it|describe|suite)\b.* from 'node:test';$/m;
const IMPORT = /(?:from|import\(|import) ?'(\.[^']+)'/g;

const sources = new Map(
  readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.[cm]?[jt]sx?$/.test(name))
    .map((name) => join('test', name))
    .map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]),
);

function listOf(script: string): string[] {
  const args = [join(ROOT, 'scripts', script), '--list'];
  const text = execFileSync(process.execPath, args, { encoding: 'utf8' });
  return text.split('\n').filter((line) => line.startsWith('test/'));
}

function withImports(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, path = ''] of (sources.get(file) ?? '').matchAll(IMPORT)) {
    withImports(normalize(join(dirname(file), path)), found);
  }
  return found;
}

const loop = listOf('test.mjs');
const proof = listOf('proof.mjs');
const again = proof.filter((file) => loop.includes(file));
const once = proof.filter((file) => !loop.includes(file));

/** What needs more than npm brings has a script of its own, such as `npm run test:pooler`. */
function namedByScripts(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return Object.values<string>(scripts).flatMap((script) => script.match(/test\/\S+\.ts/g) ?? []);
}

test('every file with tests is run by npm test, or by npm run proof, or by one that is, or is named by a script', () => {
  const all = [...loop, ...once, ...namedByScripts()];
  const run = new Set(all.flatMap((file) => [...withImports(file)]));
  const left = [...sources].filter(([file, text]) => MAKES_TESTS.test(text) && !run.has(file));
  assert.deepEqual(
    left.map(([file]) => file),
    [],
  );
});

test('its name says which: none is in both, and each once', () => {
  assert.deepEqual(loop, [...sources.keys()].filter((file) => file.endsWith('.test.ts')).sort());
  assert.deepEqual(once, [...sources.keys()].filter((file) => file.endsWith('.proof.ts')).sort());
});

test('what draws its cases is run by npm run proof as well, with more of them', () => {
  const drawing = loop.filter((file) => sources.get(file)?.includes("/support/runs.ts'"));
  assert.ok(drawing.length > 0);
  assert.deepEqual(again, drawing);
});
