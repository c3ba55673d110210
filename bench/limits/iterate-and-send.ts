/**
 * The limit of reading: iterates the same records of a copy of the store, and sends them in frames
 * of the same sizes over a bare ws server. While one frame is on its way the next is gathered.
 */

import { once } from 'node:events';
import { ClassicLevel } from 'classic-level';
import { type WebSocket, WebSocketServer } from 'ws';
import { portOf } from '../lib/port-of.ts';
import { serveProgram } from '../lib/program.ts';

const MIB = 1024 * 1024;

export interface IterationLimit {
  /** The copy of the database's directory. */
  directory: string;
  /** The first byte of the records' keys. */
  kind: 'l' | 'r';
  /** What the frames that the server sent held; the records are spread over as many. */
  frameBytes: number[];
}

type Level = ClassicLevel<Uint8Array, Uint8Array>;

function send(socket: WebSocket, data: Buffer | string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(data, { binary: false }, (error) => (error ? reject(error) : resolve()));
  });
}

class FrameSender {
  readonly #socket: WebSocket;
  readonly #frameBytes: readonly number[];
  #frames = 0;
  #underWay: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, frameBytes: readonly number[]) {
    this.#socket = socket;
    this.#frameBytes = frameBytes;
  }

  get bytesWanted(): number {
    return this.#frameBytes[this.#frames] ?? Number.POSITIVE_INFINITY;
  }

  async send(parts: readonly Uint8Array[], bytes: number): Promise<void> {
    // What a frame of the server repeats beyond the records is left as it is in memory.
    const size = Number.isFinite(this.bytesWanted) ? Math.max(bytes, this.bytesWanted) : bytes;
    const frame = Buffer.concat(parts, size);
    this.#frames++;
    await this.#underWay;
    this.#underWay = send(this.#socket, frame);
  }

  async end(): Promise<void> {
    await this.#underWay;
  }
}

/** @param recordsPerByte how much of the records one byte of a frame stands for, at most 1 */
async function sendAll(
  level: Level,
  socket: WebSocket,
  { kind, frameBytes }: IterationLimit,
  recordBytes: number,
): Promise<void> {
  const sent = frameBytes.reduce((sum, size) => sum + size, 0);
  const share = Math.min(1, recordBytes / sent);
  const sender = new FrameSender(socket, frameBytes);
  let parts: Uint8Array[] = [];
  let bytes = 0;
  const end = Buffer.of(kind.charCodeAt(0) + 1);
  const iterator = level.iterator({
    ...{ gte: Buffer.from(kind), lt: end, highWaterMarkBytes: MIB },
  });
  for (;;) {
    const entries = await iterator.nextv(1000);
    if (entries.length === 0) break;
    for (const [, value] of entries) {
      parts.push(value);
      bytes += value.length;
      if (bytes < sender.bytesWanted * share) continue;
      await sender.send(parts, bytes);
      parts = [];
      bytes = 0;
    }
  }
  await iterator.close();
  if (parts.length > 0) await sender.send(parts, bytes);
  await sender.end();
  if (kind === 'r') await send(socket, '{"type":"snapshot_complete"}');
}

async function sizeOf(level: Level, kind: string): Promise<number> {
  let bytes = 0;
  const range = { gte: Buffer.from(kind), lt: Buffer.of(kind.charCodeAt(0) + 1) };
  for await (const value of level.values(range)) bytes += value.length;
  return bytes;
}

const methods = serveProgram({
  async listen(limit: IterationLimit) {
    const level: Level = new ClassicLevel(limit.directory, {
      keyEncoding: 'view',
      valueEncoding: 'view',
    });
    await level.open();
    const recordBytes = await sizeOf(level, limit.kind);
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
    server.on('connection', (socket) => {
      socket.once('message', () => void sendAll(level, socket, limit, recordBytes));
    });
    await once(server, 'listening');
    return { url: `ws://127.0.0.1:${portOf(server)}`, recordBytes };
  },
});

export type IterateLimit = typeof methods;
