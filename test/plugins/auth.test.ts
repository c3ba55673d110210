import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import auth from '../../plugins/auth.ts';
import { siteIdToText } from '../../src/clock/site-id.ts';
import { SyncError } from '../../src/errors/sync-error.ts';
import { HookLoadError } from '../../src/hooks/load-error.ts';
import { siteBytes } from '../../src/testing/device.ts';
import { assertNeeds } from './bare-app.ts';
import { appWithMetrics } from './service-app.ts';

const siteId = siteBytes(1);
const request = { siteId, databaseId: 'db', transport: 'http', headers: {} } as const;

test('it needs the configuration and the metrics', async (t) => {
  await assertNeeds(t, auth, 'sync-coordinator-auth', [
    'sync-coordinator-config',
    'sync-coordinator-metrics',
  ]);
});

test('hooks from code come after those that the configuration names', async (t) => {
  const app = await appWithMetrics(t, { auth: { mode: 'token-whitelist', tokens: ['secret'] } });
  await app.register(auth, {
    hooks: { onAuthenticate: () => ({ siteId, userId: 'from code' }) },
  });
  const { chain, modules } = app.coordinatorHooks;
  assert.equal(modules.length, 2);
  assert.equal(modules.at(-1)?.name, 'code');
  const byToken = await chain.authenticate({ ...request, token: 'secret' });
  assert.notEqual(byToken?.userId, 'from code');
  const byCode = await chain.authenticate({ ...request, token: 'other' });
  assert.equal(byCode?.userId, 'from code');
  assert.ok(app.hasPlugin('sync-coordinator-auth'));
});

test('a hook module that is not there fails the registration', async (t) => {
  const app = await appWithMetrics(t, { hooks: ['./no-such-hook.ts'] });
  await assert.rejects(
    async () => app.register(auth),
    (error) => error instanceof HookLoadError && error.message.includes('no-such-hook.ts'),
  );
});

test('calls of hooks are counted by hook and outcome', async (t) => {
  const app = await appWithMetrics(t);
  await app.register(auth, { hooks: { onAuthorize: (client) => client.userId === 'ann' } });
  const { chain } = app.coordinatorHooks;
  const operation = { type: 'get_snapshot', databaseId: 'db' } as const;
  await chain.authorize({ siteId, userId: 'ann' }, operation);
  await assert.rejects(chain.authorize({ siteId, userId: 'ben' }, operation));
  const text = await app.coordinatorMetrics.registry.metrics();
  const counted = [...text.matchAll(/^sync_hook_calls_total\{(.*)\} (\d+)$/gm)];
  assert.equal(counted.length, 2, 'one outcome each');
  for (const [, labels, count] of counted) {
    assert.match(labels ?? '', /^hook="onAuthorize",module="code",outcome="\w+"$/);
    assert.equal(count, '1');
  }
  assert.match(text, /^sync_hook_duration_seconds_count\{hook="onAuthorize"\} 2$/m);
});

test('who asks is read from the headers', async (t) => {
  const app = await appWithMetrics(t);
  await app.register(auth);
  app.get('/', async (incoming) => {
    const { token, siteId: site, databaseId, transport } = app.readCredentials(incoming, 'db');
    return { token, site: site && siteIdToText(site), databaseId, transport };
  });
  const site = siteIdToText(siteId);
  const ask = async (headers: Record<string, string>) =>
    (await app.inject({ url: '/', headers })).json();
  const asker = { site, databaseId: 'db', transport: 'http' };
  assert.deepEqual(await ask({ 'x-site-id': site }), asker);
  const tokens = new Map([
    ['Bearer abc', 'abc'],
    ['bearer  abc', 'abc'],
    ['abc', 'abc'],
    ['Basic abc', 'Basic abc'],
  ]);
  for (const [authorization, token] of tokens) {
    assert.deepEqual(await ask({ 'x-site-id': site, authorization }), { ...asker, token });
  }
});

test('without a site id, or with one that is none, nobody is read', async (t) => {
  const app = await appWithMetrics(t);
  await app.register(auth);
  app.setErrorHandler<SyncError>((error) => ({ code: error.code }));
  app.get('/', async (incoming) => app.readCredentials(incoming, 'db'));
  const ask = async (headers: Record<string, string>) =>
    (await app.inject({ url: '/', headers })).json();
  assert.deepEqual(await ask({}), { code: 'NOT_AUTHENTICATED' });
  for (const site of ['', 'short', `${siteIdToText(siteId)}A`]) {
    assert.deepEqual(await ask({ 'x-site-id': site }), { code: 'MESSAGE_ERROR' }, site);
  }
});

test('closing gives up the calls that are under way', { timeout: 10_000 }, async (t) => {
  const app = await appWithMetrics(t, { hooks: { timeoutMs: 3_600_000 } });
  let seen: AbortSignal | undefined;
  await app.register(auth, {
    hooks: {
      async onAuthenticate({ signal }) {
        seen = signal;
        await once(signal, 'abort');
        return undefined;
      },
    },
  });
  await app.ready();
  const asked = assert.rejects(app.coordinatorHooks.chain.authenticate(request), SyncError);
  await app.close();
  await asked;
  assert.equal(seen?.aborted, true);
});
