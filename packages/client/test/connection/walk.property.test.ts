/**
 * Walks through the states of a connection at random: the app, the server, the network, the store and
 * the clock do what they like, in any order. Some things must hold after each step, and from wherever
 * the walk has led a connection must come back once all behave.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ERROR_CODES } from '../../../../src/protocol/error-codes.ts';
import { WS_OUTCOMES } from '../../../../src/protocol/ws-outcomes.ts';
import { Connection } from '../../src/connection/connection.ts';
import type { ConnectionPort } from '../../src/connection/options.ts';
import { EVENTS, STATES, TRANSITIONS } from '../../src/connection/states.ts';
import { FakeWorld, settle } from '../support/fake-world.ts';

const CODES = Object.keys(ERROR_CODES) as (keyof typeof ERROR_CODES)[];
const CLOSE_CODES = [1000, 1001, 1006, 1008, 1009, 1013, 4001, 4003];

/** Work that the walk lets succeed or fail when it likes. */
class Slow {
  readonly #waiting: { resolve(value: string): void; reject(error: Error): void }[] = [];
  isHealed = false;

  start(): Promise<string> {
    if (this.isHealed) return Promise.resolve('done');
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  succeed(): void {
    this.#waiting.shift()?.resolve('done');
  }

  fail(): void {
    this.#waiting.shift()?.reject(new Error('it failed'));
  }

  heal(): void {
    this.isHealed = true;
    while (this.#waiting.length > 0) this.succeed();
  }
}

class Walk {
  readonly world = new FakeWorld();
  readonly store = new Slow();
  readonly tokens = new Slow();
  readonly answered: number[] = [];
  position: string | undefined;
  readonly connection: Connection;

  constructor(hasPosition: boolean, hasTokenFunction: boolean) {
    this.position = hasPosition ? 'p' : undefined;
    const port: ConnectionPort = {
      position: () => this.position,
      checkpoint: () => undefined,
      receive: async () => void (await this.store.start()),
      receiveChunk: async ({ type }) => {
        await this.store.start();
        if (type === 'footer') this.position = 'snapshot';
      },
      startOver: async () => {
        await this.store.start();
        this.position = undefined;
      },
    };
    const token = hasTokenFunction ? () => this.tokens.start() : 'secret';
    const options = { url: 'ws://server/sync/ws', siteId: 'site', token };
    this.connection = new Connection(options, port, this.world);
  }

  apply(): void {
    const number = this.answered.push(0) - 1;
    this.connection.apply([], async () => {
      this.answered[number] = (this.answered[number] ?? 0) + 1;
      await this.store.start();
    });
  }

  tell(message: object | string): void {
    this.world.sockets.at(-1)?.tell(message);
  }

  answerRead(hasMore: boolean): void {
    const socket = this.world.sockets.at(-1);
    const read = socket?.sent.findLast(({ type }) => /get_|resume_/.test(type));
    if (read === undefined) return;
    if (read.type === 'get_changes') {
      this.tell({ type: 'changes', changeSets: [], hasMore, requestId: read.requestId });
      return;
    }
    this.tell({ type: 'snapshot_chunk', chunk: { type: 'header' } });
    if (hasMore) return;
    this.tell({ type: 'snapshot_chunk', chunk: { type: 'footer' } });
    this.tell({ type: 'snapshot_complete', requestId: read.requestId });
  }

  answerOf(type: string, answer: object): void {
    const requestId = this.world.sockets.at(-1)?.lastOf(type)?.requestId;
    if (requestId !== undefined) this.tell({ ...answer, requestId });
  }

  acknowledge(expiresInMs?: number): void {
    const expiresAt = expiresInMs === undefined ? undefined : this.world.now() + expiresInMs;
    const socket = this.world.sockets.at(-1);
    if (socket?.hasAcknowledged || socket?.lastOf('handshake') === undefined) return;
    this.tell({
      type: 'handshake_ack',
      serverSiteId: 's',
      serverTimeMs: this.world.now(),
      expiresAt,
    });
  }

  check(): void {
    const { sockets } = this.world;
    assert.ok(sockets.filter((socket) => !socket.isClosed).length <= 1, 'two sockets at once');
    for (const { sent, hasAcknowledged } of sockets) {
      const types = sent.map(({ type }) => type);
      const isFine = types.length === 0 || types[0] === 'handshake';
      assert.ok(isFine, `${types[0]} came before the handshake`);
      if (!hasAcknowledged) assert.ok(types.length <= 1, `${types} without acknowledgement`);
      const [firstApply, firstRead] = ['apply_changes', 'get_changes'].map((t) => types.indexOf(t));
      const isOrdered =
        firstApply === -1 || (firstRead !== -1 && Number(firstRead) < Number(firstApply));
      // Who may not read is told so to the snapshot that was asked for.
      assert.ok(
        isOrdered || types.includes('get_snapshot'),
        `${types}: applied before it had read`,
      );
    }
    assert.ok(
      this.answered.every((times) => times <= 1),
      'an answer came twice',
    );
  }

  /** From now on everybody behaves: it has to become live again. */
  async heal(): Promise<void> {
    const { world, connection } = this;
    this.store.heal();
    this.tokens.heal();
    await settle();
    for (let step = 0; step < 200; step++) {
      const { state } = connection.status;
      const socket = world.sockets.at(-1);
      if (state === 'live' && socket?.isClosed === false) return;
      if (state === 'stopped' || state === 'offline' || state === 'refused') connection.connect();
      if (socket !== undefined) socket.throwsOnSend = false;
      if (state === 'connecting') socket?.open();
      else if (state === 'handshaking') this.acknowledge();
      else if (state === 'catchingUp' || state === 'bootstrapping') this.answerRead(false);
      await settle();
      if (connection.status.state === state) await world.tick();
      this.check();
    }
    assert.fail(`it hangs: ${JSON.stringify(connection.status)} with ${world.timers.size} timers`);
  }
}

type Step = (walk: Walk) => void | Promise<void>;

const STEPS: Record<string, Step> = {
  connect: ({ connection }) => connection.connect(),
  stop: ({ connection }) => connection.stop(),
  wake: ({ connection }) => connection.wake(),
  sleep: ({ connection }) => connection.sleep(),
  setText: ({ connection }) => connection.setToken('another'),
  setFunction: ({ connection, tokens }) => connection.setToken(() => tokens.start()),
  apply: (walk) => walk.apply(),
  stopAtTheNextNotice: ({ connection }) => {
    const end = connection.subscribe(() => {
      end();
      connection.stop();
      connection.connect();
    });
  },
  tokenComes: ({ tokens }) => tokens.succeed(),
  tokenFails: ({ tokens }) => tokens.fail(),
  stored: ({ store }) => store.succeed(),
  notStored: ({ store }) => store.fail(),
  opened: ({ world }) => world.sockets.at(-1)?.open(),
  welcome: (walk) => walk.acknowledge(),
  welcomeForAMinute: (walk) => walk.acknowledge(60_000),
  answerPart: (walk) => walk.answerRead(true),
  answer: (walk) => walk.answerRead(false),
  push: (walk) => walk.tell({ type: 'push_changes', changeSets: [] }),
  applied: (walk) => walk.answerOf('apply_changes', { type: 'apply_result', applied: 0 }),
  renewed: (walk) => walk.answerOf('authenticate', { type: 'authenticated' }),
  pong: (walk) => walk.tell({ type: 'pong' }),
  garbage: (walk) => walk.tell('no JSON'),
  unknown: (walk) => walk.tell({ type: 'of_a_later_version' }),
  sendFails: ({ world }) => {
    const socket = world.sockets.at(-1);
    if (socket !== undefined) socket.throwsOnSend = true;
  },
  tick: ({ world }) => world.tick(),
  minutes: ({ world }) => world.advance(90_000),
};
for (const code of CLOSE_CODES)
  STEPS[`close ${code}`] = ({ world }) => world.sockets.at(-1)?.end(code);
for (const code of CODES) {
  const error = { type: 'error', code, message: code, fatal: WS_OUTCOMES[code].fatal };
  STEPS[`told ${code}`] = (walk) => walk.tell(error);
  for (const request of ['apply_changes', 'get_changes', 'get_snapshot', 'authenticate']) {
    STEPS[`${request}: ${code}`] = (walk) =>
      walk.answerOf(request, { ...error, retryAfterMs: 2000 });
  }
}
const USUAL = ['connect', 'tokenComes', 'opened', 'welcome', 'answer', 'stored', 'apply', 'tick'];

test('wherever a walk through its states leads, a connection comes back and keeps its promises', async () => {
  // Each on its own would lead nowhere: half of the steps are those that lead on.
  const step = fc.oneof(
    fc.constantFrom(...USUAL),
    fc.constantFrom(...Object.keys(STEPS).filter((name) => !/: |told /.test(name))),
    fc.constantFrom(...Object.keys(STEPS)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.boolean(),
      fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
      async (hasPosition, hasTokenFunction, steps) => {
        const walk = new Walk(hasPosition, hasTokenFunction);
        for (const name of ['connect', ...steps]) {
          await STEPS[name]?.(walk);
          await settle();
          walk.check();
        }
        await walk.heal();
        walk.apply();
        walk.connection.stop();
        await settle();
        walk.check();
        assert.deepEqual(
          walk.answered.filter((times) => times !== 1),
          [],
        );
        assert.equal(walk.world.timers.size, 0, 'a timer is left after stop');
      },
    ),
    { numRuns: 400, includeErrorInReport: true },
  );
});

test('each state is entered by some event, and left by some', () => {
  for (const state of STATES) {
    const entered = STATES.some((from) =>
      EVENTS.some((event) => from !== state && TRANSITIONS[from][event] === state),
    );
    assert.ok(entered, `nothing leads to ${state}`);
    assert.ok(
      EVENTS.some((event) => TRANSITIONS[state][event] !== state),
      `${state} is a dead end`,
    );
  }
});
