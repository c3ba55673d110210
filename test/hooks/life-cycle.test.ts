/** The life of a module's instance: set up, asked, told, handed over, closed; and which clients it knows. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect as openSocket, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Registry } from 'prom-client';
import { HookHost, type HookHostConfig } from '../../src/hooks/chain/hook-host.ts';
import { createModuleLife } from '../../src/hooks/context.ts';
import { defineHooks, type HookDefinition } from '../../src/hooks/define-hooks.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import { CLIENT, deferred, SITE, SOCKET, surroundings, testChain } from './support.ts';

const OPERATION = { type: 'get_changes', databaseId: 'db' } as const;

function configOf(...modules: HookDefinition<undefined>[]): HookHostConfig {
  return {
    auth: { mode: 'none', tokens: [] },
    hooks: { modules, timeoutMs: 60_000, notifyCallsMax: 100 },
    limits: { shutdownMs: 60_000 },
  };
}

async function load(
  t: TestContext,
  around = surroundings(),
  ...modules: HookDefinition<undefined>[]
) {
  const host = await HookHost.load(configOf(...modules), {
    codeHooks: undefined,
    surroundings: around,
  });
  t.after(() => host.close(1000));
  return host;
}

function clientNamed(userId: string): ClientIdentity {
  return Object.freeze({ userId, siteId: SITE, databaseId: 'db' });
}

/** Notes down which clients come and go. */
function door(
  events: string[],
  name: string,
  hooks: ('onClientConnect' | 'onClientHandover' | 'onClientDisconnect')[],
  answer: () => boolean | Promise<boolean> = () => true,
): HookDefinition<undefined> {
  const all: CoordinatorHooks = {
    onClientConnect({ userId }) {
      events.push(`${name} asked about ${userId}`);
      return answer();
    },
    onClientHandover({ userId }) {
      events.push(`${name} takes over ${userId}`);
    },
    onClientDisconnect({ userId }) {
      events.push(`${name} loses ${userId}`);
    },
  };
  const given = Object.fromEntries(hooks.map((hook) => [hook, all[hook]]));
  return defineHooks({ name, hooks: given });
}

test('that a client has gone is told to the modules that were asked about it, and to no other', async () => {
  const gone: string[] = [];
  const noting = (name: string, onClientConnect?: () => boolean): CoordinatorHooks => ({
    ...(onClientConnect && { onClientConnect }),
    onClientDisconnect: () => {
      gone.push(name);
    },
  });
  const modules = {
    quiet: noting('quiet'),
    first: noting('first', () => true),
    refuser: noting('refuser', () => false),
    never: noting('never', () => assert.fail('asked')),
    after: noting('after'),
  };
  const chain = testChain(modules);
  await assert.rejects(chain.clientConnect(CLIENT, SOCKET), { code: 'NOT_AUTHORIZED' });
  assert.deepEqual(gone, ['quiet', 'first', 'refuser']);
  chain.clientDisconnect(CLIENT);
  assert.equal(gone.length, 3, 'they are told once');

  const { refuser: _refuser, never: _never, ...others } = modules;
  const open = testChain(others);
  gone.length = 0;
  await open.clientConnect(CLIENT, SOCKET);
  open.clientDisconnect(CLIENT);
  assert.deepEqual(gone, ['quiet', 'first', 'after']);
});

test('nobody is told of one who had gone before anybody was asked', async () => {
  const chain = testChain([
    { onClientConnect: () => true, onClientDisconnect: () => assert.fail('told') },
  ]);
  await assert.rejects(chain.clientConnect(CLIENT, SOCKET, AbortSignal.abort()));
});

test('a new instance takes over who is there, is told of their going, and the old one of nothing', async (t) => {
  const events: string[] = [];
  const all = ['onClientConnect', 'onClientHandover', 'onClientDisconnect'] as const;
  const host = await load(t, surroundings(), door(events, 'old', [...all]));
  const [ann, bob] = [clientNamed('ann'), clientNamed('bob')];
  await host.chain.clientConnect(ann, SOCKET);
  await host.chain.clientConnect(bob, SOCKET);
  host.chain.clientDisconnect(bob);
  events.length = 0;
  await host.reload(
    configOf(
      door(events, 'new', [...all]),
      door(events, 'balanced', ['onClientConnect', 'onClientDisconnect']),
      door(events, 'goings only', ['onClientDisconnect']),
    ),
  );
  assert.deepEqual(events, ['new takes over ann']);
  host.chain.clientDisconnect(ann);
  assert.deepEqual(events.slice(1), ['new loses ann', 'goings only loses ann']);
});

test('who enters during a reload is handed over; who is refused then, is told where it was asked', async (t) => {
  const events: string[] = [];
  const answers = { ann: deferred(), bob: deferred() };
  const old = defineHooks({
    name: 'old',
    hooks: {
      async onClientConnect({ userId }) {
        await answers[userId as 'ann' | 'bob'].promise;
        return userId === 'ann';
      },
      onClientDisconnect: ({ userId }) => {
        events.push(`old loses ${userId}`);
      },
    },
  });
  const host = await load(t, surroundings(), old);
  const [ann, bob] = [clientNamed('ann'), clientNamed('bob')];
  const entering = host.chain.clientConnect(ann, SOCKET);
  const refused = assert.rejects(host.chain.clientConnect(bob, SOCKET));
  await host.reload(configOf(door(events, 'new', ['onClientHandover', 'onClientDisconnect'])));
  answers.ann.resolve();
  answers.bob.resolve();
  await entering;
  await refused;
  host.chain.clientDisconnect(bob);
  host.chain.clientDisconnect(ann);
  assert.deepEqual(events.sort(), ['new loses ann', 'new takes over ann', 'old loses bob']);
});

/** Holds a port, on which it says its name. */
function portHolder(port: number, name: string, then: () => void = () => undefined) {
  return defineHooks({
    name: 'holder',
    async setup(_options, { onClose, onHandover, previous }) {
      let server: Server | undefined;
      const listen = async () => {
        server = createServer((socket) => socket.end(`${name} after ${previous}`));
        await once(server.listen(port, '127.0.0.1'), 'listening');
      };
      const close = async () => {
        const closing = server;
        server = undefined;
        if (closing !== undefined) await new Promise((resolve) => closing.close(resolve));
      };
      await listen();
      onClose(close);
      onHandover(async () => {
        await close();
        return name;
      }, listen);
      then();
      return { onAuthorize: () => true };
    },
  });
}

async function askPort(port: number): Promise<string> {
  const socket = openSocket(port, '127.0.0.1').setEncoding('utf8');
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test('a module that holds a port is loaded anew, and gets what the last one gave', async (t) => {
  const port = await freePort();
  const host = await load(t, surroundings(), portHolder(port, '0'));
  assert.equal(await askPort(port), '0 after undefined');
  for (let i = 1; i <= 3; i++) {
    await host.reload(configOf(portHolder(port, `${i}`)));
    assert.equal(await askPort(port), `${i} after ${i - 1}`);
  }
  await host.close(1000);
  await assert.rejects(askPort(port));
});

test('what was handed over is taken back when the reload fails, at whichever place', async (t) => {
  const port = await freePort();
  const host = await load(t, surroundings(), portHolder(port, 'old'));
  const failing = () => {
    throw new Error('no database');
  };
  const broken = defineHooks({ name: 'broken', setup: failing });
  const unready = defineHooks({
    name: 'unready',
    setup(_options, { onReady }) {
      onReady(failing);
      return { onAuthorize: () => true };
    },
  });
  await host.ready();
  for (const modules of [
    [portHolder(port, 'new', failing)],
    [portHolder(port, 'new'), broken],
    [broken, portHolder(port, 'new')],
    [portHolder(port, 'new'), unready],
  ]) {
    await assert.rejects(host.reload(configOf(...modules)), /no database/);
    assert.equal(await askPort(port), 'old after undefined');
  }
  await host.reload(configOf(portHolder(port, 'mended')));
  assert.equal(await askPort(port), 'mended after old');
});

test('an instance that cannot hand over stays, with all others', async (t) => {
  const events: string[] = [];
  const stuck = defineHooks({
    name: 'stuck',
    setup(_options, { onHandover }) {
      onHandover(() => Promise.reject(new Error('busy')));
      return { onAuthorize: () => true };
    },
  });
  const sharing = defineHooks({
    name: 'sharing',
    setup(_options, { onHandover }) {
      onHandover(
        () => 'a lock',
        (state) => {
          events.push(`has ${state} again`);
        },
      );
      return { onAuthorize: () => true };
    },
  });
  const host = await load(t, surroundings(), sharing, stuck);
  await assert.rejects(host.reload(configOf(sharing, stuck)), {
    name: 'HookLoadError',
    message: /stuck: the instance in force could not be handed over: busy/,
  });
  assert.deepEqual(events, ['has a lock again']);
  await host.chain.authorize(CLIENT, OPERATION);
});

test('what is to be run at the end is run at once after it', async () => {
  const events: string[] = [];
  const life = createModuleLife('late', surroundings());
  life.context.onClose(() => {
    events.push('first given');
    life.context.onClose(() => {
      events.push('given meanwhile');
    });
  });
  await life.close();
  life.context.onClose(() => {
    events.push('given after');
  });
  assert.deepEqual(events, ['first given', 'given meanwhile', 'given after']);
});

/** Counts what it is asked, by the labels of its version. */
function counting(labels: Record<string, string>, isLate = false): HookDefinition<undefined> {
  return defineHooks({
    name: 'counting',
    setup(_options, { metrics }) {
      const make = () => metrics.counter('asked_total', 'Asked.', Object.keys(labels));
      const made = isLate ? undefined : make();
      return {
        onAuthorize() {
          (made ?? make()).inc(labels);
          return true;
        },
      };
    },
  });
}

test('labels of a metric that another version has are no matter, nor where it is not loaded after all', async (t) => {
  const registry = new Registry();
  const around = surroundings(undefined, registry);
  const host = await load(t, around, counting({ kind: 'a' }));
  const ask = () => host.chain.authorize(CLIENT, OPERATION);
  const shown = async () => (await registry.metrics()).match(/^sync_hook_.*$/m)?.[0];
  await ask();
  await host.reload(configOf(counting({ kind: 'a' })));
  await ask();
  assert.equal(await shown(), 'sync_hook_counting_asked_total{kind="a"} 2', 'it counts on');

  const failing = defineHooks({
    name: 'broken',
    setup() {
      throw new Error('no database');
    },
  });
  await assert.rejects(host.reload(configOf(counting({ user: 'ann' }), failing)));
  await ask();
  assert.equal(await shown(), 'sync_hook_counting_asked_total{kind="a"} 3');

  for (const isLate of [false, true]) {
    const user = isLate ? 'bob' : 'ann';
    await host.reload(configOf(counting({ user, place: 'x' }, isLate)));
    await ask();
    await host.reload(configOf(counting({ user }, isLate)));
    await ask();
    assert.equal(await shown(), `sync_hook_counting_asked_total{user="${user}"} 1`);
  }
});

test('a metric of another module, or asked for in two ways, is refused where it is made', async (t) => {
  const named = (name: string) =>
    defineHooks({
      name,
      setup(_options, { metrics }) {
        metrics.counter('seen_total', 'Seen.');
        return { onAuthorize: () => true };
      },
    });
  await assert.rejects(load(t, surroundings(), named('my-app'), named('my_app')), {
    message: /my_app: its setup failed: the metric sync_hook_my_app_seen_total .*that of my-app/,
  });
  const twice = defineHooks({
    name: 'twice',
    setup(_options, { metrics }) {
      metrics.gauge('held', 'Held.');
      metrics.gauge('held', 'Held.', ['kind']);
      return { onAuthorize: () => true };
    },
  });
  await assert.rejects(load(t, surroundings(), twice), /another kind, labels or buckets/);
});

test('a chain that is retained is closed when it is released, or refuses once it is too late', async (t) => {
  const events: string[] = [];
  const closing = (name: string) =>
    defineHooks({
      name,
      setup(_options, { onClose }) {
        onClose(() => {
          events.push(`${name} closed`);
        });
        return {
          onAuthorize() {
            events.push(`${name} asked`);
            return true;
          },
        };
      },
    });
  const host = await load(t, surroundings(), closing('first'));
  const first = host.chain.retain();
  await host.reload(configOf(closing('second')));
  await first.authorize(CLIENT, OPERATION);
  assert.deepEqual(events, ['first asked']);
  first.release();

  const second = host.chain.retain();
  await host.close(10);
  assert.deepEqual(events.sort(), ['first asked', 'first closed', 'second closed']);
  await assert.rejects(second.authorize(CLIENT, OPERATION), { code: 'HOOK_FAILED' });
  assert.equal(events.length, 3);
});
