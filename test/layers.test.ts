/**
 * The folders in the order in which they build on each other: a file imports from its own and from
 * those above it in this list, types included. `docs/architecture.md` says what each is for.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** A package of its own, of which the kit for tests has its devices. */
const CLIENT = 'packages/client/src';

const LAYERS = [
  'src/clock',
  'src/protocol',
  'src/errors',
  'src/logging',
  'src/wire',
  'src/options',
  'src/modules',
  'src/storage',
  'src/storage/leveldb',
  'src/storage/postgres',
  'src/storage/by-address',
  'src/engine/records',
  'src/engine/tables',
  'src/engine/log',
  'src/engine/merge',
  'src/engine/snapshot',
  'src/engine/maintenance',
  'src/engine',
  'src/verify',
  'src/transfer',
  'src/transfer/export',
  'src/hooks',
  'src/hooks/ddl',
  'src/hooks/names',
  'src/hooks/verdicts',
  'src/hooks/loading',
  'src/hooks/chain',
  'src/hooks/builtin',
  'src/config',
  'src/metrics',
  'src/service/http',
  'src/service/budgets',
  'src/service/access',
  'src/service/delivery',
  'src/service/databases',
  'src/service/apply',
  'src/service/admission',
  'src/service',
  'src/sessions',
  'plugins',
  'src',
  CLIENT,
  'src/testing',
  'src/cli',
  'src/bin',
];

/** `import … from`, `export … from`, `import '…'` and `import('…')` of files of ours. */
const SPECIFIER = /\b(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+\.ts)'/g;

interface Import {
  from: string;
  to: string;
}

function importsOf(file: string): Import[] {
  const code = readFileSync(join(ROOT, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  return [...code.matchAll(SPECIFIER)].map(([, specifier = '']) => ({
    from: file,
    to: normalize(join(dirname(file), specifier)).replaceAll(sep, '/'),
  }));
}

const files = ['src', 'plugins'].flatMap((top) =>
  readdirSync(join(ROOT, top), { recursive: true })
    .map((name) => `${top}/${String(name).replaceAll(sep, '/')}`)
    .filter((name) => name.endsWith('.ts')),
);
const imports = files.flatMap(importsOf);

test('every folder has its place, and no file imports from one below its own', () => {
  assert.ok(imports.length > files.length, 'the imports are found');
  const placeOf = (file: string) => {
    const folder = file.startsWith(`${CLIENT}/`) ? CLIENT : dirname(file);
    const place = LAYERS.indexOf(folder);
    assert.ok(place >= 0, `${folder} has no place: add it to LAYERS`);
    return place;
  };
  const upward = imports.filter(({ from, to }) => placeOf(to) > placeOf(from));
  assert.deepEqual(upward, []);
});

test('no modules import each other in a circle, types included', () => {
  const importedBy = groupByFrom(imports);
  const finished = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    if (finished.has(file)) return;
    const at = path.indexOf(file);
    assert.ok(at < 0, `a circle: ${[...path.slice(at), file].join(' -> ')}`);
    path.push(file);
    for (const { to } of importedBy.get(file) ?? []) visit(to);
    path.pop();
    finished.add(file);
  };
  for (const file of files) visit(file);
});

function groupByFrom(all: readonly Import[]): Map<string, Import[]> {
  const groups = new Map<string, Import[]>();
  for (const each of all) groups.set(each.from, [...(groups.get(each.from) ?? []), each]);
  return groups;
}

test('the client takes nothing of the server but what both sides speak', () => {
  const own = readdirSync(join(ROOT, CLIENT), { recursive: true })
    .map((name) => `${CLIENT}/${String(name).replaceAll(sep, '/')}`)
    .filter((name) => /\.tsx?$/.test(name));
  const outside = own.flatMap(importsOf).filter(({ to }) => !to.startsWith(CLIENT));
  assert.ok(outside.length > 0, 'the imports are found');
  const others = outside.filter(({ to }) => !/^src\/(clock|protocol)\//.test(to));
  assert.deepEqual(others, []);
});

test('who counts owns the count: only who brings them together knows of the metrics', () => {
  const knowing = imports.filter(({ to }) => to === 'src/metrics/metrics.ts');
  assert.deepEqual(
    knowing.map(({ from }) => from),
    ['src/service/service-parts.ts', 'plugins/metrics.ts'],
  );
});

test('docs/architecture.md says what each of them is for', () => {
  const page = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
  const rooms = new Set(LAYERS.map((layer) => layer.split('/').slice(0, 2).join('/')));
  for (const room of rooms) {
    if (room !== 'src') assert.ok(page.includes(`\`${room}\``), room);
  }
});
