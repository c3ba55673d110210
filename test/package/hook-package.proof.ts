/** The example of a hook package, as others would have it: packed, installed, and named in a config. */

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { temporaryDirectory } from '../support/server.ts';
import { runCommand, startCommand } from './command.ts';
import { installPackage, packPackage, ROOT } from './packed-package.ts';

const CONFIG = `
import { defineConfig } from 'sync-coordinator';

export default defineConfig({
  host: '127.0.0.1',
  port: 0,
  storage: 'memory:',
  hooks: [['sync-hooks-quota', { table: 'tasks', rowsMax: 1 }]],
});
`;

const HOOK = `
import { defineHooks, SyncError } from 'sync-coordinator';

export default defineHooks({
  name: 'mine',
  hooks: {
    onAuthorize() {
      throw new SyncError('RATE_LIMITED', 'first');
    },
  },
});
`;

/** Where a project doesn't say that it is of modules, its hooks are translated to CommonJS. */
async function reloads(t: TestContext, project: string, manifest: object): Promise<void> {
  const cwd = join(project, `plain ${Object.keys(manifest)}`);
  mkdirSync(cwd);
  writeFileSync(join(cwd, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(cwd, 'hook.ts'), HOOK);
  writeFileSync(join(cwd, 'sync-coordinator.json'), '{ "hooks": ["./hook.ts"], "port": 0 }');
  const server = await startCommand(t, 'npx sync-coordinator', { cwd });
  const ask = async () => {
    const headers = { 'x-site-id': new Device(1).siteId };
    const response = await fetch(`http://127.0.0.1:${server.port}/sync/changes`, { headers });
    return [response.status, await response.text()] as const;
  };
  assert.deepEqual((await ask())[0], 429);
  for (const text of ['second', 'third']) {
    writeFileSync(join(cwd, 'hook.ts'), HOOK.replace('first', text));
    const { length } = server.output.stdout;
    process.kill(server.pid, 'SIGHUP');
    while (!server.output.stdout.slice(length).includes('loaded anew')) {
      assert.equal(
        server.output.stderr.includes('nothing was loaded'),
        false,
        server.output.stderr,
      );
      await new Promise(setImmediate);
    }
    const [status, body] = await ask();
    assert.deepEqual([status, body.includes(text)], [429, true], body);
  }
  assert.equal(await server.stop('SIGTERM'), 0);
}

test('packed and installed beside the coordinator it is found, shown, checked and asked', async (t) => {
  const directory = temporaryDirectory();
  const project = join(directory, 'project');
  mkdirSync(project);
  await installPackage((await packPackage(directory)).tarball, project);

  const source = join(directory, 'hook-package');
  cpSync(join(ROOT, 'examples/hook-package'), source, { recursive: true });
  const [packed]: [{ filename: string; files: { path: string }[] }] = JSON.parse(
    await runCommand('npm pack --json', source),
  );
  const files = packed.files.map(({ path }) => path).sort();
  assert.deepEqual(files, ['README.md', 'index.d.ts', 'index.js', 'package.json']);
  const installed = join(project, 'node_modules/sync-hooks-quota');
  mkdirSync(installed);
  await runCommand(`tar -xzf "${join(source, packed.filename)}" --strip-components=1`, installed);

  writeFileSync(join(project, 'sync-coordinator.config.ts'), CONFIG);
  const shown = await runCommand('npx sync-coordinator check', project);
  assert.match(
    shown,
    /1\. quota: sync-hooks-quota, node_modules\/sync-hooks-quota, version 1\.0\.0\n +\{"table":"tasks","rowsMax":1\}/,
  );

  const server = await startCommand(t, 'npx sync-coordinator', { cwd: project });
  const device = new Device(1);
  const url = `ws://127.0.0.1:${server.port}/sync/ws`;
  const client = await TestClient.join(url, { siteId: device.siteId }, t);
  const sets = [1, 2].map((pk) => device.write({ table: 'tasks', pk: [pk], set: { title: 'x' } }));
  const result = await client.apply(...sets);
  assert.equal(result.applied, 1);
  const { transactionId } = sets[1] ?? {};
  const place = { schema: 'main', table: 'tasks', column: 'title', pk: [2], transactionId };
  assert.deepEqual(result.rejected, [{ reason: 'tasks is full: 1 rows', code: 'QUOTA', ...place }]);
  await client.close();
  assert.equal(await server.stop('SIGTERM'), 0);

  await reloads(t, project, {});
  await reloads(t, project, { type: 'module' });

  // Its own tests, with what is installed.
  symlinkSync(join(project, 'node_modules'), join(source, 'node_modules'));
  const report = await runCommand('npm test', source);
  assert.match(report, /fail 0\n/);
  assert.doesNotMatch(report, /pass 0\n/);
});
