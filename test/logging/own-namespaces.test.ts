import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { namesOurs } from '../../src/logging/own-namespaces.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('a filter is about this program when it fits something that it logs', () => {
  for (const filter of [
    '*',
    'sync-coordinator:*',
    'sync-coordinator:ws',
    'app:*,sync-coordinator:hook:greet',
    'sync-*',
    '*:error',
    '*coordinator*',
    'quereus:*',
    'quereus:sync:manager',
  ]) {
    assert.equal(namesOurs(filter), true, filter);
  }
});

test('a filter of another program takes nothing away', () => {
  for (const filter of [
    '',
    'false',
    '1',
    'app:*',
    '*:query',
    '*express*',
    '*-worker',
    '*:sql',
    '-*',
    '*,-sync-coordinator:*'.slice(2),
    'sync-coordinator',
    'sync-coordinators:*',
    'quereus:optimizer:*',
  ]) {
    assert.equal(namesOurs(filter), false, filter);
  }
});

test('the namespaces that it knows are those that are there', () => {
  const used = new Set<string>();
  for (const top of ['src', 'plugins']) {
    for (const name of readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue;
      const code = readFileSync(join(ROOT, top, name), 'utf8');
      for (const [, namespace = ''] of code.matchAll(/createLogger\('([^']+)'/g))
        used.add(namespace);
    }
  }
  assert.ok(used.size > 5);
  // By their last part alone they can only be found in the list.
  for (const namespace of used) assert.equal(namesOurs(`*${namespace.slice(4)}`), true, namespace);
});
