/** The modules that come with the coordinator keep the contract that others are held to. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import auditLog from '../../src/hooks/builtin/audit-log.ts';
import ddl from '../../src/hooks/builtin/ddl.ts';
import jwt from '../../src/hooks/builtin/jwt.ts';
import rateLimit from '../../src/hooks/builtin/rate-limit.ts';
import readOnly from '../../src/hooks/builtin/read-only.ts';
import tokenWhitelist from '../../src/hooks/builtin/token-whitelist.ts';
import validateSchema from '../../src/hooks/builtin/validate-schema.ts';
import webhook from '../../src/hooks/builtin/webhook.ts';
import { Device } from '../../src/testing/device.ts';
import { hookModuleContract } from '../../src/testing/hook-contract.ts';
import { askHooks } from '../../src/testing/hook-harness.ts';
import { ROOT, readPage } from '../docs/pages.ts';

const directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const SECRET = 'a shared secret that is long enough, as secrets go';
const tasks = { type: 'object', properties: { title: { type: 'string' } } };
const MODULES = [
  { module: tokenWhitelist, options: { tokens: ['x'] } },
  { module: jwt, options: { secret: SECRET } },
  { module: rateLimit, options: { operationsPerSecond: 10 } },
  { module: readOnly, options: { tables: ['tasks'] } },
  { module: ddl, options: { allow: [{ types: ['create_table'], tables: ['tasks'] }] } },
  { module: validateSchema, options: { tables: { tasks } } },
  { module: auditLog, options: { file: join(directory, 'audit.log'), values: true } },
  {
    module: webhook,
    options: { url: 'http://127.0.0.1:9/', secret: SECRET, directory: join(directory, 'queue') },
  },
];

for (const each of MODULES) hookModuleContract(each);

test('every module that is published is held to it, and described with all its options', () => {
  const { exports } = JSON.parse(readPage('package.json').text) as { exports: object };
  const published = Object.keys(exports).flatMap(
    (path) => /^\.\/hooks\/(.+)$/.exec(path)?.[1] ?? [],
  );
  assert.deepEqual(MODULES.map(({ module }) => module.name).sort(), published.sort());
  const { text } = readPage('docs/hook-modules.md');
  for (const { module } of MODULES) {
    const [, section = ''] = text.split(new RegExp(`^## ${module.name}$`, 'm'));
    const own = section.split(/^## /m)[0] ?? '';
    for (const option of Object.keys(Reflect.get(Object(module.options), 'properties'))) {
      assert.ok(own.includes(`\n| \`${option}\` |`), `${module.name}: ${option} in ${ROOT}docs`);
    }
  }
});

test('a module that misbehaves fails the contract: what it did is known', async (t) => {
  const hooks = {
    onAuthorize: () => 'yes',
    onBeforeApplyChanges: () => {
      throw new Error('no');
    },
  };
  const harness = await askHooks(t, hooks as never);
  await assert.rejects(harness.authorize(), { code: 'HOOK_FAILED' });
  const changeSet = new Device(1).write({ pk: [1], set: { x: 1 } });
  await assert.rejects(harness.beforeApply(changeSet), { code: 'HOOK_FAILED' });
  assert.deepEqual(harness.failures, ['onAuthorize invalid', 'onBeforeApplyChanges error']);
});
