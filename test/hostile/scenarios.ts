/**
 * Peers that are slow, broken or hostile. Each is set on a server whose caps are small, beside a
 * well-behaved client, and says how it was got rid of.
 */

import assert from 'node:assert/strict';
import { constants, deflateRawSync, gzipSync } from 'node:zlib';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { type ChildServer, metricOf } from '../support/child-server.ts';
import { DDL_BATCHES } from './ddl-batches.ts';
import { FILTERED_ANSWERS } from './filtered-answers.ts';
import { JUDGED_BATCHES } from './judged-batches.ts';
import { sendLongMessages } from './long-messages.ts';
import { MANY_CATALOGS } from './many-catalogs.ts';
import { NAMED_BATCHES } from './named-batches.ts';
import type { Load } from './prober.ts';
import {
  closeCode,
  frameHeader,
  joinRaw,
  openRaw,
  openRawWebSocket,
  type RawSocket,
  writeAll,
} from './raw-socket.ts';
import { sendTinyChunks, sendTinyFrames } from './tiny-pieces.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export interface Scenario {
  name: string;
  /** Options of the server, beside those of all scenarios. */
  args: string[];
  /** What the options allow it to cost, in bytes. */
  capBytes: number;
  /** What the well-behaved client writes meanwhile, and before, to have something to compare with. */
  load(scale: number): Load;
  /** The batches that the database holds already. */
  stored?(scale: number): Iterable<readonly WireChangeSet[]>;
  /** For how long the server's loop may be held up at once; default: the others' p99 is looked at instead. */
  heldUpMsMax?: number;
  attack(context: AttackContext): Promise<Attack>;
}

export interface AttackContext {
  server: ChildServer;
  owner: { after(fn: () => unknown): void };
  /** How much of it there is, from 0 to 1. */
  scale: number;
}

export interface Attack {
  /** Goes on for as long as the well-behaved client is measured. */
  stop?(): void;
  /** Waits for its end. Throws if that is not as it should be. @returns what it was, in words */
  ended(): Promise<string>;
}

const smallLoad = (scale: number): Load => ({ transactions: Math.ceil(400 * scale), bytes: 1000 });

function* bigTable(): Generator<WireChangeSet[]> {
  const device = new Device(1);
  const set = Object.fromEntries(
    Array.from({ length: 10 }, (_, i) => [`column_${i}`, `value ${i}`]),
  );
  for (let row = 0; row < 30_000; row += 1000) {
    yield [device.write(...Array.from({ length: 1000 }, (_, i) => ({ pk: [row + i], set })))];
  }
}

/** Resolves when the server has got rid of all of them but the well-behaved client. */
async function othersGone(server: ChildServer): Promise<void> {
  while ((await metricOf(server, 'sync_connections')) > 1) await new Promise(setImmediate);
}

async function joinStalled({ server, owner }: AttackContext, number: number): Promise<TestClient> {
  const client = await TestClient.join(server.wsUrl, new Device(number), owner);
  client.socket.removeAllListeners('message');
  client.socket.pause();
  return client;
}

function isClosing({ socket, heard }: RawSocket): boolean {
  return socket.destroyed || closeCode(heard()) !== undefined;
}

/** A frame of so many bytes, never ended: until the other end has had enough, or gone. */
async function pour(raw: RawSocket, bytes: number): Promise<void> {
  const block = Buffer.alloc(64 * KIB, 'x');
  for (let sent = 0; sent < bytes && !isClosing(raw); sent += block.length) {
    await writeAll(raw, block);
  }
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'clients that stop reading while 20 MB is written',
    args: ['--limits-queued-bytes-per-socket', String(MIB), '--limits-stalled-ms', '1500'],
    capBytes: 20 * MIB,
    // Less would not fill what the operating system itself takes for each socket.
    load: () => ({ transactions: 200, bytes: 100_000 }),
    async attack(context) {
      const { server } = context;
      const count = 20;
      for (let i = 0; i < count; i++) await joinStalled(context, 100 + i);
      return {
        async ended() {
          await othersGone(server);
          assert.equal(await metricOf(server, 'sync_sockets_stalled_total'), count);
          return `${count} closed for taking nothing (1013)`;
        },
      };
    },
  },
  {
    name: 'ten snapshots of a big database, and none is read',
    args: ['--limits-queued-bytes-per-socket', String(MIB), '--limits-stalled-ms', '1500'],
    capBytes: MIB,
    load: smallLoad,
    stored: bigTable,
    async attack(context) {
      const client = await joinStalled(context, 100);
      for (let i = 0; i < 10; i++) client.send({ type: 'get_snapshot' });
      return {
        async ended() {
          await othersGone(context.server);
          assert.equal(await metricOf(context.server, 'sync_sockets_stalled_total'), 1);
          assert.equal(await metricOf(context.server, 'sync_snapshot_streams'), 0);
          return 'closed for taking nothing (1013)';
        },
      };
    },
  },
  {
    name: 'a byte a second',
    args: ['--limits-request-timeout-ms', '2000', '--limits-handshake-timeout-ms', '2000'],
    capBytes: 0,
    load: smallLoad,
    async attack({ server, owner }) {
      const socket = await openRawWebSocket(server.port);
      const request = await openRaw(server.port);
      const header = await openRaw(server.port);
      const site = new Device(100).siteId;
      socket.socket.write(frameHeader(1000));
      request.socket.write(
        `POST /sync/changes HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${site}\r\nContent-Length: 1000\r\n\r\n`,
      );
      header.socket.write('GET /sync/status HTTP/1.1\r\nHost: localhost\r\nX-Long: ');
      const peers = [socket, request, header];
      const timer = setInterval(() => {
        for (const { socket } of peers) socket.write('x');
      }, 1000);
      owner.after(() => clearInterval(timer));
      return {
        async ended() {
          const [ws, ...http] = await Promise.all(peers.map(({ ended }) => ended));
          clearInterval(timer);
          assert.equal(closeCode(ws ?? Buffer.alloc(0)), 1008);
          for (const heard of http) assert.match(heard.toString(), /^HTTP\/1\.1 408 /);
          return 'handshake closed with 1008, requests answered 408';
        },
      };
    },
  },
  {
    name: '5,000 handshakes that never come',
    args: ['--limits-handshake-timeout-ms', '3000', '--limits-unauthenticated-sockets', '200'],
    // What the runtime and its libraries take for a socket that has said nothing.
    capBytes: 200 * 32 * KIB,
    load: smallLoad,
    async attack({ server, owner, scale }) {
      const sockets: RawSocket[] = [];
      for (let i = 0; i < 5000 * scale; i++) {
        const raw = await openRawWebSocket(server.port);
        owner.after(() => raw.socket.destroy());
        sockets.push(raw);
      }
      return {
        async ended() {
          const heard = await Promise.all(sockets.map(({ ended }) => ended));
          const timedOut = heard.filter((it) => closeCode(it) === 1008).length;
          const madeRoom = heard.filter((it) => closeCode(it) === 1013).length;
          assert.equal(timedOut + madeRoom, sockets.length);
          return `${timedOut} closed with 1008, ${madeRoom} made room for others (1013)`;
        },
      };
    },
  },
  {
    name: 'long messages that are much work',
    args: [],
    // One message, and what it is parsed to.
    capBytes: 512 * MIB,
    load: smallLoad,
    heldUpMsMax: 250,
    attack: sendLongMessages,
  },
  {
    name: 'bodies in chunks of a few bytes',
    args: [],
    capBytes: 4 * 2 * MIB,
    load: smallLoad,
    heldUpMsMax: 150,
    attack: sendTinyChunks,
  },
  {
    name: 'halves of messages in frames of one byte',
    args: ['--limits-bytes-in-flight', String(64 * MIB), '--limits-request-timeout-ms', '3000'],
    capBytes: 64 * MIB,
    load: smallLoad,
    heldUpMsMax: 150,
    attack: sendTinyFrames,
  },
  ...pingFloods(),
  ...FILTERED_ANSWERS,
  ...JUDGED_BATCHES,
  ...NAMED_BATCHES,
  ...DDL_BATCHES,
  ...MANY_CATALOGS,
  {
    name: 'a message of 100 MB, at once and in fragments',
    args: ['--limits-message-bytes', String(4 * MIB)],
    capBytes: 2 * 4 * MIB,
    load: smallLoad,
    async attack(context) {
      const whole = await joinRaw(context, 100);
      whole.socket.write(frameHeader(100 * MIB));
      const pouring = pour(whole, 100 * MIB);
      const parts = await joinRaw(context, 101);
      const fragment = Buffer.alloc(MIB, 'x');
      for (let i = 0; i < 100 && !isClosing(parts); i++) {
        const header = frameHeader(fragment.length, { opcode: i === 0 ? 1 : 0, fin: false });
        await writeAll(parts, Buffer.concat([header, fragment]));
      }
      return {
        async ended() {
          await pouring;
          const codes = await Promise.all(
            [whole.ended, parts.ended].map(async (it) => closeCode(await it)),
          );
          // Who goes on sending to a socket that is gone may lose what it has not read yet.
          assert.ok(
            codes.every((code) => code === 1009 || code === undefined),
            codes.join(),
          );
          return `both closed (${codes.join(', ')})`;
        },
      };
    },
  },
  {
    name: 'compression bombs',
    args: ['--limits-message-bytes', String(4 * MIB), '--compression-websocket', 'true'],
    capBytes: 4 * MIB,
    load: smallLoad,
    async attack({ server, scale }) {
      const zeros = Buffer.alloc(200 * MIB * scale);
      const bomb = gzipSync(zeros);
      const headers = { 'x-site-id': new Device(100).siteId, 'content-encoding': 'gzip' };
      const extension = 'Sec-WebSocket-Extensions: permessage-deflate\r\n';
      const raw = await openRawWebSocket(server.port, extension);
      // Without the end of a flushed block, which is not sent (RFC 7692, 7.2.1).
      const message = deflateRawSync(zeros, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(
        0,
        -4,
      );
      raw.socket.write(Buffer.concat([frameHeader(message.length, { rsv1: true }), message]));
      return {
        async ended() {
          const url = `${server.httpUrl}/changes`;
          const { status } = await fetch(url, { method: 'POST', headers, body: bomb });
          assert.equal(status, 413);
          const code = closeCode(await raw.ended);
          assert.match(raw.heard().toString(), /permessage-deflate[\s\S]*TOO_LARGE/);
          assert.equal(code, 1009);
          return `inflated up to limits.messageBytes over HTTP (413), and to limits.handshakeBytes over WebSocket (${code})`;
        },
      };
    },
  },
  {
    name: 'forty bodies and forty messages of 15 MB that are never ended',
    args: ['--limits-bytes-in-flight', String(64 * MIB), '--limits-request-timeout-ms', '12000'],
    capBytes: 64 * MIB,
    load: smallLoad,
    heldUpMsMax: 150,
    async attack(context) {
      const { server, owner } = context;
      const peers: RawSocket[] = [];
      const pourings: Promise<void>[] = [];
      for (let i = 0; i < 40; i++) {
        const request = await openRaw(server.port);
        owner.after(() => request.socket.destroy());
        request.socket.write(
          'POST /sync/changes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n' +
            `X-Site-Id: ${new Device(200 + i).siteId}\r\nContent-Length: ${15 * MIB}\r\n\r\n`,
        );
        pourings.push(pour(request, 15 * MIB - 64 * KIB));
        const message = await joinRaw(context, 100 + i);
        message.socket.write(frameHeader(15 * MIB));
        pourings.push(pour(message, 15 * MIB - 64 * KIB));
        peers.push(request, message);
      }
      return {
        async ended() {
          const heard = await Promise.all(peers.map(({ ended }) => ended));
          await Promise.all(pourings);
          const refused = heard.filter((it) => it.includes('"OVERLOADED"')).length;
          assert.ok(refused > 0, 'nobody was refused');
          await othersGone(server);
          return `${refused} of ${peers.length} told to come back later, the others cut for their slowness`;
        },
      };
    },
  },
  {
    name: '1,000 databases opened in turn',
    args: ['--storage-max-open-databases', '50'],
    capBytes: 50 * MIB,
    load: smallLoad,
    async attack({ server, scale }) {
      const device = new Device(100);
      const count = 1000 * scale;
      const open = async () => {
        for (let i = 0; i < count; i++) {
          const url = `${server.httpUrl}/db-${i}/changes`;
          const body = JSON.stringify([device.write({ pk: [1], set: { text: 'x'.repeat(1000) } })]);
          const headers = { 'x-site-id': device.siteId };
          const response = await fetch(url, { method: 'POST', headers, body });
          assert.equal(response.status, 200, await response.text());
        }
      };
      const opened = open();
      return {
        async ended() {
          await opened;
          const stores = await metricOf(server, 'sync_open_stores');
          assert.ok(stores <= 50, `${stores} are open`);
          return `${count} opened, ${stores} still open`;
        },
      };
    },
  },
];

function pingFloods(): Scenario[] {
  const opcodes = { text: 1, control: 9 };
  const readers = { 'that reads': true, 'that reads nothing': false };
  return Object.entries(opcodes).flatMap(([kind, opcode]) =>
    Object.entries(readers).map(([how, reads]): Scenario => {
      const payload = opcode === 1 ? '{"type":"ping"}' : 'p'.repeat(125);
      return {
        name: `a flood of pings (${kind}) from a client ${how}`,
        args: ['--limits-queued-bytes-per-socket', String(MIB), '--limits-stalled-ms', '1500'],
        capBytes: MIB,
        load: smallLoad,
        attack: (context) => floodPings(context, { opcode, payload, reads }),
      };
    }),
  );
}

async function floodPings(
  context: AttackContext,
  { opcode, payload, reads }: { opcode: number; payload: string; reads: boolean },
): Promise<Attack> {
  const raw = await joinRaw(context, 100);
  raw.socket.removeAllListeners('data');
  if (reads) raw.socket.resume();
  else raw.socket.pause();
  const ping = Buffer.concat([frameHeader(payload.length, { opcode }), Buffer.from(payload)]);
  const block = Buffer.concat(Array.from({ length: 1000 }, () => ping));
  let isFlooding = true;
  const flood = async () => {
    while (isFlooding && !raw.socket.destroyed) {
      await writeAll(raw, block);
      await new Promise(setImmediate);
    }
  };
  const flooding = flood();
  return {
    stop: () => {
      isFlooding = false;
      raw.socket.destroy();
    },
    async ended() {
      await flooding;
      await othersGone(context.server);
      return 'kept back, and the others were served';
    },
  };
}
