import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CONFIG_OPTIONS } from '../../src/config/options.ts';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

test('every option is in the reference, with its variable and its flag', () => {
  for (const { path, env, flag } of CONFIG_OPTIONS) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${path}\` |`));
    assert(row?.includes(`\`${env}\``) && row.includes(`\`${flag}\``), path);
  }
});

test('no two options share a variable or a flag', () => {
  for (const name of ['env', 'flag'] as const) {
    const names = CONFIG_OPTIONS.map((option) => option[name]);
    assert.equal(new Set(names).size, names.length);
  }
});
