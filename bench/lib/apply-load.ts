/** Devices that send transactions as fast as they are acknowledged, so many in flight each. */

import { once } from 'node:events';
import WebSocket from 'ws';
import { encodeHlc } from '../../src/clock/hlc.ts';
import { siteIdToText } from '../../src/clock/site-id.ts';

const COLUMNS = 10;

export interface ApplyLoad {
  connections: number;
  inFlight: number;
  /** Each of ten cells a row. */
  changesPerTransaction: number;
  transactionsPerConnection: number;
}

interface LoadDevice {
  socket: WebSocket;
  siteId: Uint8Array;
  messages: string[];
}

let sites = 0;
let wallTime = Date.now() - 3_600_000;

async function connect(url: string): Promise<LoadDevice> {
  const siteId = new Uint8Array(16);
  const databaseId = `bench-${++sites}`;
  new DataView(siteId.buffer).setUint32(0, sites);
  const socket = new WebSocket(url, { perMessageDeflate: false });
  await once(socket, 'open');
  const handshake = { siteId: siteIdToText(siteId), databaseId, protocolVersion: 1 };
  socket.send(JSON.stringify({ type: 'handshake', ...handshake }));
  const [data] = await once(socket, 'message');
  if (JSON.parse(data).type !== 'handshake_ack') throw new Error(`no handshake: ${data}`);
  return { socket, siteId, messages: [] };
}

function applyMessage(siteId: Uint8Array, changeCount: number, requestId: number): string {
  const time = BigInt(++wallTime);
  const hlcOf = (opSeq: number) => encodeHlc({ wallTime: time, counter: 0, siteId, opSeq });
  const changes = Array.from({ length: changeCount }, (_, i) => {
    const row = requestId * 1000 + Math.floor(i / COLUMNS);
    const cell = { schema: 'main', table: 'tasks', pk: [row], column: `column_${i % COLUMNS}` };
    return { type: 'column', ...cell, value: `value ${i} of ${requestId}`, hlc: hlcOf(i) };
  });
  const site = siteIdToText(siteId);
  const hlc = hlcOf(changeCount - 1);
  const changeSet = { siteId: site, transactionId: `${time}`, hlc, changes, schemaMigrations: [] };
  return JSON.stringify({ type: 'apply_changes', changes: [changeSet], requestId: `${requestId}` });
}

/** Sends everything and waits for the last acknowledgement. */
function run({ socket, messages }: LoadDevice, inFlight: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let answered = 0;
    const sendNext = () => {
      const message = messages[sent++];
      if (message !== undefined) socket.send(message);
    };
    socket.on('message', (data) => {
      const text = data.toString();
      if (text.startsWith('{"type":"error"')) reject(new Error(text));
      if (!text.startsWith('{"type":"apply_result"')) return;
      if (++answered === messages.length) resolve();
      else sendNext();
    });
    socket.once('close', (code) => reject(new Error(`closed with ${code}`)));
    for (let i = 0; i < inFlight; i++) sendNext();
  });
}

/** @returns how long it took, in milliseconds; making the messages is not in it */
export async function applyLoad(url: string, load: ApplyLoad): Promise<number> {
  const devices = await Promise.all(Array.from({ length: load.connections }, () => connect(url)));
  for (const device of devices) {
    for (let i = 0; i < load.transactionsPerConnection; i++) {
      device.messages.push(applyMessage(device.siteId, load.changesPerTransaction, i));
    }
  }
  const startedAt = performance.now();
  await Promise.all(devices.map((device) => run(device, load.inFlight)));
  const elapsedMs = performance.now() - startedAt;
  for (const { socket } of devices) socket.terminate();
  return elapsedMs;
}
