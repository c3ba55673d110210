/** Clients that make the server filter a copy of its own for each of them, and take little of it. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { WORK_FACTOR } from '../../src/service/memory-budgets.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { type ChildServer, metricOf } from '../support/child-server.ts';
import type { AttackContext, Scenario } from './scenarios.ts';

const MIB = 1024 * 1024;
/** The defaults of the limits, in bytes. */
const ANSWER_BYTES = 256 * MIB;
/** What a message costs until it is answered, for each byte: as it arrived, and stored. */
const STORED_FACTOR = 1 + WORK_FACTOR;

const HOOKS = [
  ...['--hooks', fileURLToPath(new URL('hooks/rewriting.mjs', import.meta.url))],
  ...['--hooks-timeout-ms', '60000'],
];
const COUNT = 30;
const LONG_BYTES = 2 * MIB - 400;
const ROWS = 14;
const SMALL_BYTES = 128 * MIB;

const smallLoad = (scale: number) => ({ transactions: Math.ceil(400 * scale), bytes: 1000 });

export const FILTERED_ANSWERS: readonly Scenario[] = [
  {
    name: 'thirty listeners of one user that take nothing of 28 MB, rewritten for each',
    args: HOOKS,
    capBytes: ROWS * LONG_BYTES * STORED_FACTOR + ANSWER_BYTES,
    load: smallLoad,
    // A transaction is filtered in one go, however long it is.
    heldUpMsMax: 1000,
    async attack(context) {
      const deaf = await joinDeaf(context);
      const device = new Device(100);
      const writer = await join(context, 'writer', device);
      const rows = Array.from({ length: Math.ceil(ROWS * context.scale) + 1 }, (_, i) => i);
      const batch = rows.map((i) => ({
        table: 'long',
        pk: [i],
        set: { text: 'x'.repeat(LONG_BYTES) },
      }));
      const applied = writer.apply(device.write(...batch.slice(0, ROWS)));
      return {
        async ended() {
          assert.equal((await applied).type, 'apply_result');
          return `written, and ${await haveWaited(context.server, deaf)}`;
        },
      };
    },
  },
  {
    name: 'readers of many small changes, rewritten for each',
    args: [
      ...HOOKS,
      ...['--limits-answer-bytes', String(SMALL_BYTES)],
      ...['--limits-answer-bytes-per-client', String(SMALL_BYTES)],
    ],
    capBytes: SMALL_BYTES,
    load: smallLoad,
    heldUpMsMax: 250,
    stored: smallChanges,
    async attack(context) {
      const readers = Math.ceil(12 * context.scale);
      const reading = Array.from({ length: readers }, (_, i) => readAll(context, 1000 + i));
      return {
        async ended() {
          await Promise.all(reading);
          return `${readers} were sent all of it`;
        },
      };
    },
  },
  {
    name: 'thirty snapshots of one user that meet a long row at once, and none is read',
    args: HOOKS,
    capBytes: ANSWER_BYTES,
    load: smallLoad,
    heldUpMsMax: 1000,
    stored: longRow,
    async attack(context) {
      const deaf = await joinDeaf(context);
      for (const client of deaf) client.send({ type: 'get_snapshot' });
      return { ended: () => haveWaited(context.server, deaf) };
    },
  },
  ...['filtered', 'as they are stored'].map(
    (how): Scenario => ({
      name: `thirty snapshots of one user with 14 MB of DDL, ${how}, and none is read`,
      args: how === 'filtered' ? HOOKS : [],
      capBytes: ANSWER_BYTES,
      load: smallLoad,
      heldUpMsMax: 1000,
      stored: longDdl,
      async attack(context) {
        const deaf = await joinDeaf(context);
        for (const client of deaf) client.send({ type: 'get_snapshot' });
        return { ended: () => haveWaited(context.server, deaf) };
      },
    }),
  ),
];

/** About 12 MB, in transactions of a hundred changes. */
function* smallChanges(scale: number): Generator<WireChangeSet[]> {
  const device = new Device(100);
  const columns = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`c${i}`, 1]));
  for (let row = 0; row < 1000 * scale; row += 100) {
    yield Array.from({ length: 100 }, (_, i) =>
      device.write({ table: 'small', pk: [row + i], set: columns }),
    );
  }
}

/** A row that is nearly as long as one may be. */
function* longRow(): Generator<WireChangeSet[]> {
  const device = new Device(100);
  for (const column of ['a', 'b', 'c', 'd']) {
    yield [device.write({ table: 'long', pk: [1], set: { [column]: 'x'.repeat(LONG_BYTES) } })];
  }
}

function* longDdl(): Generator<WireChangeSet[]> {
  const device = new Device(100);
  for (const table of ['a', 'b', 'c', 'd']) {
    const ddl = `create table ${table} (x) -- ${'x'.repeat(3.5 * MIB)}`;
    yield [device.migrate('create_table', table, { ddl })];
  }
}

function join({ server, owner }: AttackContext, token: string, { siteId }: Device) {
  return TestClient.join(server.wsUrl, { siteId, token }, owner);
}

async function joinDeaf(context: AttackContext): Promise<TestClient[]> {
  const deaf: TestClient[] = [];
  for (let i = 0; i < COUNT; i++) {
    const client = await join(context, 'deaf', new Device(1000 + i));
    client.socket.removeAllListeners('message');
    client.socket.pause();
    deaf.push(client);
  }
  return deaf;
}

/** Resolves when all but one of them have waited for room. Then they go. */
async function haveWaited(server: ChildServer, deaf: TestClient[]): Promise<string> {
  const waits = 'sync_limits_met_total\\{limit="limits.answerBytesPerClient"\\}';
  while ((await metricOf(server, waits)) < deaf.length - 1) await new Promise(setImmediate);
  for (const { socket } of deaf) socket.terminate();
  while ((await metricOf(server, 'sync_connections')) > 2) await new Promise(setImmediate);
  return 'all but one waited for room';
}

/** Reads everything, asking again for as long as there is no room. */
async function readAll(context: AttackContext, number: number): Promise<void> {
  const { socket } = await join(context, 'reader', new Device(number));
  socket.removeAllListeners('message');
  await new Promise<void>((resolve, reject) => {
    const ask = () => socket.send('{"type":"get_changes"}');
    socket.on('message', (data: Buffer) => {
      if (data.subarray(0, 20).includes('"error"')) {
        if (data.includes('"retryAfterMs"')) ask();
        else reject(new Error(data.toString()));
      } else if (data.subarray(-20).includes('"hasMore":false')) resolve();
    });
    socket.once('close', () => reject(new Error('the socket was closed')));
    ask();
  });
  socket.terminate();
}
