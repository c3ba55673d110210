/** Another chain in the place of one that is at work. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HookHost, type HookHostConfig } from '../../../src/hooks/chain/hook-host.ts';
import { defineHooks, type HookDefinition } from '../../../src/hooks/define-hooks.ts';
import { CLIENT, deferred, surroundings } from '../support.ts';

const OPERATION = { type: 'get_changes', databaseId: 'db' } as const;

function configOf(...modules: HookDefinition<undefined>[]): HookHostConfig {
  return {
    auth: { mode: 'none', tokens: [] },
    hooks: { modules, timeoutMs: 60_000, notifyCallsMax: 100 },
    limits: { shutdownMs: 60_000 },
  };
}

async function start(t: TestContext, codeHooks?: HookDefinition<undefined>) {
  const events: string[] = [];
  const moduleNamed = (name: string, onAuthorize: () => boolean | Promise<boolean> = () => true) =>
    defineHooks({
      name,
      setup(_options, { onClose, signal }) {
        events.push(`${name} set up`);
        onClose(() => {
          events.push(`${name} closed${signal.aborted ? '' : ' too early'}`);
        });
        return {
          onAuthorize() {
            events.push(`${name} asked`);
            return onAuthorize();
          },
        };
      },
    });
  const load = async (...modules: HookDefinition<undefined>[]) => {
    const options = { codeHooks, surroundings: surroundings() };
    const host = await HookHost.load(configOf(...modules), options);
    t.after(() => host.close(1000));
    return host;
  };
  return { events, moduleNamed, load };
}

test('what is asked after a reload is asked of the new modules; the old ones are closed', async (t) => {
  const { events, moduleNamed, load } = await start(t);
  const host = await load(moduleNamed('old'));
  const { chain } = host;
  await chain.authorize(CLIENT, OPERATION);
  await host.reload(configOf(moduleNamed('new')));
  await chain.authorize(CLIENT, OPERATION);
  await host.close(1000);
  assert.deepEqual(
    events.filter((event) => event.endsWith('asked')),
    ['old asked', 'new asked'],
  );
  assert.ok(events.indexOf('old closed') > events.indexOf('new set up'));
  assert.equal(events.at(-1), 'new closed');
});

test('a call that has begun ends with the module it began with, which is closed after it', async (t) => {
  const { events, moduleNamed, load } = await start(t);
  const answer = deferred();
  const host = await load(moduleNamed('old', () => answer.promise.then(() => true)));
  const asked = host.chain.authorize(CLIENT, OPERATION);
  await host.reload(configOf(moduleNamed('new')));
  assert.ok(!events.includes('old closed'));
  answer.resolve();
  await asked;
  await host.close(1000);
  assert.ok(events.includes('old closed'));
});

test('a reload that fails keeps what is there, and closes what it had set up', async (t) => {
  const { events, moduleNamed, load } = await start(t);
  const host = await load(moduleNamed('old'));
  const broken = defineHooks({
    name: 'broken',
    setup() {
      throw new Error('no database');
    },
  });
  await assert.rejects(host.reload(configOf(moduleNamed('new'), broken)), {
    name: 'HookLoadError',
    message: /broken: its setup failed: no database/,
  });
  assert.deepEqual(events, ['old set up', 'new set up', 'new closed']);
  await host.chain.authorize(CLIENT, OPERATION);
  assert.equal(events.at(-1), 'old asked');
  await host.reload(configOf(moduleNamed('mended')));
  assert.deepEqual(
    host.modules.map(({ name }) => name),
    ['mended'],
  );
});

test('of several reloads at once the last one stays', async (t) => {
  const { events, moduleNamed, load } = await start(t);
  const host = await load(moduleNamed('0'));
  await Promise.all(['1', '2', '3'].map((name) => host.reload(configOf(moduleNamed(name)))));
  assert.deepEqual(
    host.modules.map(({ name }) => name),
    ['3'],
  );
  await host.close(1000);
  assert.equal(events.filter((event) => event.endsWith(' closed')).length, 4);
});

test('hooks from code are set up anew with every reload, after those of the config', async (t) => {
  let count = 0;
  const code = defineHooks({
    name: 'mine',
    setup() {
      count++;
      return { onAuthorize: () => true };
    },
  });
  const { moduleNamed, load } = await start(t, code);
  const host = await load(moduleNamed('a'));
  await host.reload(configOf(moduleNamed('b')));
  assert.deepEqual(
    host.modules.map(({ name }) => name),
    ['b', 'mine'],
  );
  assert.equal(count, 2);
});

test('a host that is closed reloads nothing, and closing twice does no harm', async (t) => {
  const { events, moduleNamed, load } = await start(t);
  const host = await load(moduleNamed('old'));
  await Promise.all([host.close(1000), host.close(1000)]);
  await assert.rejects(host.reload(configOf(moduleNamed('new'))), /stopping/);
  assert.deepEqual(events, ['old set up', 'old closed']);
});

test('a module that fails to close holds up no other', async (t) => {
  const { events, moduleNamed, load } = await start(t);
  const failing = defineHooks({
    name: 'failing',
    setup(_options, { onClose }) {
      onClose(() => Promise.reject(new Error('cannot close')));
      onClose(() => {
        throw new Error('nor this');
      });
      return { onAuthorize: () => true };
    },
  });
  const host = await load(moduleNamed('first'), failing);
  await host.close(1000);
  assert.equal(events.at(-1), 'first closed');
});
