/** `docs/hooks.md` holds: its modules load and do what they say, its tables name every hook. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, it } from 'node:test';
import { siteIdToText } from '../../src/clock/site-id.ts';
import { createHookChain, type HookChain } from '../../src/hooks/chain/chain.ts';
import { HookHost } from '../../src/hooks/chain/hook-host.ts';
import { HOOK_KINDS, HOOK_NAMES } from '../../src/hooks/kinds.ts';
import { loadHooks } from '../../src/hooks/loading/loader.ts';
import { REQUEST, SITE, SOCKET, surroundings } from './support.ts';

const MODULES = /```ts\n\/\/ (hooks\/[a-z-]+\.ts)\n(.*?)```/gs;

let page = '';
let dir = '';

before(async () => {
  page = await readFile(new URL('../../docs/hooks.md', import.meta.url), 'utf8');
  dir = await mkdtemp(join(tmpdir(), 'hooks-docs-'));
  for (const [, name = '', text = ''] of page.matchAll(MODULES)) {
    await writeFile(join(dir, basename(name)), text);
  }
});
after(() => rm(dir, { recursive: true, force: true }));

async function chainOf(name: string, options: unknown): Promise<HookChain> {
  const auth = { mode: 'none' as const, tokens: [] };
  const config = { auth, hooks: { modules: [[join(dir, name), options] as const] } };
  return createHookChain(await loadHooks(config, undefined, { surroundings: surroundings() }), {
    timeoutMs: 1000,
  });
}

it('has every hook in both tables, with its kind', () => {
  for (const hook of HOOK_NAMES) {
    assert.ok(page.includes(`\n| \`${hook}(`), hook);
    assert.ok(page.includes(`\n| \`${hook}\` | ${HOOK_KINDS[hook]} |`), hook);
  }
});

it('read-only lets all read and some write', async () => {
  const chain = await chainOf('read-only.ts', { writers: ['ann'] });
  const write = { type: 'apply_changes', databaseId: 'db', changeCount: 1 } as const;
  await chain.authorize({ siteId: SITE, userId: 'ann' }, write);
  await chain.authorize({ siteId: SITE }, { type: 'get_changes', databaseId: 'db' });
  await assert.rejects(chain.authorize({ siteId: SITE }, write), { code: 'NOT_AUTHORIZED' });
});

it('doorbell counts on after a reload, on the same port, and knows who is there', async (t) => {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  const config = {
    auth: { mode: 'none' as const, tokens: [] },
    hooks: {
      modules: [[join(dir, 'doorbell.ts'), { port }] as const],
      ...{ timeoutMs: 1000, notifyCallsMax: 100 },
    },
    limits: { shutdownMs: 1000 },
  };
  const around = { codeHooks: undefined, surroundings: surroundings() };
  const host = await HookHost.load(config, around);
  t.after(() => host.close(1000));
  // A connection that is kept would be the last instance's.
  const headers = { connection: 'close' };
  const shown = async () => (await fetch(`http://127.0.0.1:${port}`, { headers })).text();
  const [ann, ben] = [{ siteId: SITE }, { siteId: SITE }];
  await host.chain.clientConnect(ann, SOCKET);
  await host.chain.clientConnect(ben, SOCKET);
  host.chain.clientDisconnect(ben);
  assert.equal(await shown(), '2 1');
  await host.reload(config);
  assert.equal(await shown(), '2 1');
  host.chain.clientDisconnect(ann);
  assert.equal(await shown(), '2 0');
});

it('roles gives roles to whoever was accepted, and lets those write that have any', async () => {
  const chain = await chainOf('roles.ts', { roles: { ann: ['editor'] } });
  const write = { type: 'apply_changes', databaseId: 'db', changeCount: 1 } as const;
  const [ann, ben] = [
    await chain.authenticated({ siteId: SITE, userId: 'ann' }, REQUEST),
    await chain.authenticated({ siteId: SITE, userId: 'ben' }, REQUEST),
  ];
  assert.deepEqual(Reflect.get(ann, 'roles'), ['editor']);
  await chain.authorize(ann, write);
  await assert.rejects(chain.authorize(ben, write), { code: 'NOT_AUTHORIZED' });
});

it('kitchen-only uses what directory provides', async () => {
  const auth = { mode: 'none' as const, tokens: [] };
  const modules = ['directory.ts', 'kitchen-only.ts'].map((name) => join(dir, name));
  const around = { surroundings: surroundings() };
  const loaded = await loadHooks({ auth, hooks: { modules } }, undefined, around);
  const chain = createHookChain(loaded, { timeoutMs: 1000 });
  const read = { type: 'get_changes', databaseId: 'db' } as const;
  await chain.authorize({ siteId: SITE, userId: 'ann' }, read);
  await assert.rejects(chain.authorize({ siteId: SITE }, read), { code: 'NOT_AUTHORIZED' });
});

it('registered-devices refuses a device that is not the user’s', async () => {
  const ann = { userId: 'ann', devices: [siteIdToText(SITE)] };
  const chain = await chainOf('registered-devices.ts', { users: { 'open-sesame': ann } });
  assert.deepEqual(await chain.authenticate(REQUEST), { userId: 'ann', siteId: SITE });
  assert.equal(await chain.authenticate({ ...REQUEST, token: 'constructor' }), undefined);
  const stranger = { ...REQUEST, siteId: new Uint8Array(16) };
  await assert.rejects(chain.authenticate(stranger), { code: 'AUTH_FAILED' });
});
