/** SIGHUP: hooks and tokens anew, in a server that goes on. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { createDir } from '../config/temp-dir.ts';
import { startProcess } from './run-process.ts';

const REASON = "export const reason: string = 'first';\n";
const RULES = `
import { defineHooks, judgeChanges } from 'sync-coordinator';
import { reason } from './reason.ts';
export default defineHooks({
  name: 'rules',
  setup: (_options, { onClose }) => {
    onClose(() => console.log('closed: ' + reason));
    return {
      onBeforeApplyChanges: (_client, changes) => judgeChanges(changes, () => ({ reason })),
    };
  },
});
`;

const configText = (tokens: string[], more = '') =>
  `export default { host: '127.0.0.1', port: 0, storage: 'memory:', hooks: ['./hooks/rules.ts'],
    auth: { mode: 'token-whitelist', tokens: ${JSON.stringify(tokens)} }, ${more} };`;

async function start(t: TestContext) {
  const cwd = createDir(t, {
    'sync-coordinator.config.ts': configText(['old', 'kept']),
    'hooks/rules.ts': RULES,
    'hooks/reason.ts': REASON,
  });
  const running = startProcess(t, [], { cwd });
  const [, port] = await running.waitFor(/ws +ws:\/\/127\.0\.0\.1:(\d+)\/sync\/ws\n[\s\S]*rules/);
  const url = `ws://127.0.0.1:${port}/sync/ws`;
  const write = (name: string, text: string) => writeFileSync(join(cwd, name), text);
  const { stderr } = running.child;
  assert.ok(stderr !== null);
  const waitForError = async (pattern: RegExp) => {
    while (!pattern.test(running.output.stderr)) await once(stderr, 'data');
  };
  return { running, url, write, waitForError, cwd };
}

function reasonOf(answer: Record<string, unknown>): unknown {
  return (answer.rejected as { reason: string }[])[0]?.reason;
}

test('hooks, what they import, and tokens are anew; sockets stay whose tokens are good', async (t) => {
  const { running, url, write } = await start(t);
  const device = new Device(1);
  const join = (token: string) => TestClient.join(url, { siteId: device.siteId, token }, t);
  const [client, revoked] = [await join('kept'), await join('old')];
  const apply = () => client.apply(device.write({ pk: [1], set: { x: 1 } }));
  assert.equal(reasonOf(await apply()), 'first');

  write('hooks/reason.ts', REASON.replace('first', 'second'));
  write('sync-coordinator.config.ts', configText(['new', 'kept'], "basePath: '/other',"));
  running.child.kill('SIGHUP');
  await running.waitFor(/SIGHUP: tokens and 2 hook modules loaded anew\n/);
  assert.equal((await revoked.next('error')).code, 'AUTH_EXPIRED');
  assert.equal((await revoked.closed).code, 4001);
  assert.equal(reasonOf(await apply()), 'second', 'on the same socket');
  await running.waitFor(/closed: first\n/);
  assert.match(
    running.output.stderr,
    /warning: basePath changed, which takes effect at the next start/,
  );

  await assert.rejects(join('old'));
  await join('new');
  await join('kept');
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
});

test('what cannot be loaded leaves everything as it is, and says so', async (t) => {
  const { running, url, write, waitForError, cwd } = await start(t);
  const device = new Device(1);
  const client = await TestClient.join(url, { siteId: device.siteId, token: 'old' }, t);
  const apply = () => client.apply(device.write({ pk: [1], set: { x: 1 } }));

  write('hooks/rules.ts', 'export default {');
  running.child.kill('SIGHUP');
  await waitForError(
    /hook module \.\/hooks\/rules\.ts: .*failed while loading.*\n.*SIGHUP: nothing was loaded; what was in force stays so, and so are tokens good that were removed\n/,
  );
  assert.equal(reasonOf(await apply()), 'first');

  write('sync-coordinator.config.ts', 'export default { prot: 1 }');
  running.child.kill('SIGHUP');
  await waitForError(/nothing was loaded[\s\S]*prot[\s\S]*nothing was loaded/);
  assert.equal(reasonOf(await apply()), 'first');
  const metrics = await (
    await fetch(`${url.replace('ws:', 'http:').replace('/ws', '')}/metrics`)
  ).text();
  assert.match(metrics, /^sync_hook_reloads_total\{outcome="failed"\} 2$/m);

  write('sync-coordinator.config.ts', configText(['old']));
  write('hooks/rules.ts', RULES);
  write('hooks/reason.ts', REASON.replace('first', 'mended'));
  running.child.kill('SIGHUP');
  await running.waitFor(/SIGHUP: tokens and 2 hook modules loaded anew\n/);
  assert.equal(reasonOf(await apply()), 'mended');
  assert.ok(readFileSync(join(cwd, 'hooks/rules.ts')));
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
});

test('a hang-up while it starts is answered when it has', async (t) => {
  const cwd = createDir(t, {
    'slow.mjs': `export default async () => {
      console.log('setting up');
      await new Promise((resolve) => setTimeout(resolve, 300));
      return { onAuthorize: () => true };
    };`,
  });
  const args = [
    '--host',
    '127.0.0.1',
    '--port',
    '0',
    '--storage',
    'memory:',
    '--hooks',
    './slow.mjs',
  ];
  const running = startProcess(t, args, { cwd });
  await running.waitFor(/setting up/);
  running.child.kill('SIGHUP');
  await running.waitFor(/SIGHUP: tokens and 1 hook module loaded anew\n/);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
});

test('a promise that a hook forgets is logged with its module, and the server goes on', async (t) => {
  const cwd = createDir(t, {
    'hooks/forgets.ts': `export default {
      onAuthorize: (): boolean => {
        void Promise.resolve().then(() => { throw new Error('forgotten'); });
        void Promise.reject('text');
        return true;
      },
    };`,
  });
  const args = [
    '--host',
    '127.0.0.1',
    '--port',
    '0',
    '--storage',
    'memory:',
    '--hooks',
    './hooks/forgets.ts',
  ];
  const running = startProcess(t, args, { cwd });
  const [, url] = await running.waitFor(/http +(http:\S+)\n/);
  const { siteId } = new Device(1);
  for (let i = 0; i < 2; i++) {
    const response = await fetch(`${url}/changes`, { headers: { 'x-site-id': siteId } });
    assert.equal(response.status, 200);
  }
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /^sync_hook_stray_rejections_total\{module="\.\/hooks\/forgets\.ts"\} 2$/m);
  assert.match(metrics, /^sync_hook_stray_rejections_total\{module="unknown"\} 2$/m);
  assert.match(
    running.output.stderr,
    /hooks:error.*forgets\.ts: a promise rejected, and nobody waited/,
  );
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
});

test('a reload without the hook module that said who may warns as a start does', async (t) => {
  const config = (hooks: string[]) =>
    JSON.stringify({
      host: '127.0.0.1',
      port: 0,
      storage: 'memory:',
      hooks,
      cors: { origin: true },
    });
  const cwd = createDir(t, {
    'guard.mjs': 'export default { onAuthorize: () => false };',
    'sync-coordinator.json': config(['./guard.mjs']),
  });
  const running = startProcess(t, [], { cwd });
  await running.waitFor(/hooks +1\n/);
  assert.doesNotMatch(running.output.stderr, /read and write everything/);
  writeFileSync(join(cwd, 'sync-coordinator.json'), config([]));
  running.child.kill('SIGHUP');
  await running.waitFor(/loaded anew\n/);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
  assert.match(running.output.stderr, /warning: auth\.mode is "none" and cors\.origin/);
});

test('a token that a file beside the configuration no longer has lets nobody in after a reload', async (t) => {
  const tokens = (list: string[]) => `export const tokens: string[] = ${JSON.stringify(list)};`;
  const cwd = createDir(t, {
    'sync-coordinator.config.ts': `import { tokens } from './tokens.ts';
      export default { host: '127.0.0.1', port: 0, storage: 'memory:', auth: { mode: 'token-whitelist', tokens } };`,
    'tokens.ts': tokens(['old', 'kept']),
  });
  const running = startProcess(t, [], { cwd });
  const [, url] = await running.waitFor(/http +(http:\S+)\n[\s\S]*hooks/);
  const statusOf = async (token: string) => {
    const headers = { 'x-site-id': new Device(1).siteId, authorization: `Bearer ${token}` };
    return (await fetch(`${url}/changes`, { headers })).status;
  };
  assert.deepEqual([await statusOf('old'), await statusOf('kept')], [200, 200]);
  writeFileSync(join(cwd, 'tokens.ts'), tokens(['kept']));
  running.child.kill('SIGHUP');
  await running.waitFor(/loaded anew\n/);
  assert.deepEqual([await statusOf('old'), await statusOf('kept')], [401, 200]);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
});
