/** A device that asks for everything: all changes, or a snapshot. The limits serve it just so. */

import type { Socket } from 'node:net';
import type WebSocket from 'ws';
import { TransactionMaker } from '../lib/messages.ts';
import { serveProgram } from '../lib/program.ts';
import { openSession, openSocket, TYPE, typeOf } from '../lib/sockets.ts';

export interface Reading {
  url: string;
  /** None for a limit. */
  databaseId?: string;
  ask: 'get_changes' | 'get_snapshot';
  /** With `get_changes`: the number of the last transaction, which ends the reading. */
  lastTransaction?: number;
  /** With `get_changes`: the position up to which the device has everything. */
  sinceHLC?: string | undefined;
  /** Whether it offers to have it compressed. */
  compressed?: boolean;
}

export interface ReadFigures {
  elapsedMs: number;
  /** Until the first message, and the first that holds data. */
  firstMs: number;
  firstDataMs: number;
  bytes: number;
  /** As they came over the network. */
  networkBytes: number;
  frameBytes: number[];
  /** The position that a snapshot covers. */
  position?: string | undefined;
}

/** More than the last change of a transaction takes. */
const TAIL_BYTES = 1000;
const COMPLETE = Buffer.from('{"type":"snapshot_complete"');
const HEADER = Buffer.from('{"type":"snapshot_chunk","chunk":{"type":"header"');

function startsWith(message: Buffer, prefix: Buffer): boolean {
  return message.subarray(0, prefix.length).equals(prefix);
}

function read(
  socket: WebSocket,
  { ask, lastTransaction, sinceHLC, databaseId }: Reading,
): Promise<ReadFigures> {
  return new Promise((resolve, reject) => {
    const frameBytes: number[] = [];
    let [bytes, firstMs, firstDataMs] = [0, 0, 0];
    let position: string | undefined;
    const last = `#${lastTransaction}"`;
    const raw: Socket = Reflect.get(socket, '_socket');
    const bytesBefore = raw.bytesRead;
    const startedAt = performance.now();
    socket.once('close', (code) => reject(new Error(`closed with ${code}`)));
    socket.on('message', (data: Buffer) => {
      const elapsedMs = performance.now() - startedAt;
      // The limits send records as they are, which may begin like anything.
      const isFromServer = databaseId !== undefined;
      if (isFromServer && typeOf(data) === TYPE.error) return reject(new Error(data.toString()));
      if (frameBytes.length === 0) firstMs = elapsedMs;
      frameBytes.push(data.length);
      bytes += data.length;
      if (startsWith(data, HEADER)) position = /"hlc":"([^"]+)"/.exec(data.toString())?.[1];
      // The header and the table's start are small.
      if (firstDataMs === 0 && data.length > TAIL_BYTES) firstDataMs = elapsedMs;
      const isLast =
        ask === 'get_changes'
          ? data.subarray(-TAIL_BYTES).includes(last)
          : startsWith(data, COMPLETE);
      if (!isLast) return;
      const networkBytes = raw.bytesRead - bytesBefore;
      resolve({ elapsedMs, firstMs, firstDataMs, bytes, networkBytes, frameBytes, position });
    });
    // Named, as our client does: the answer then begins with a short message.
    socket.send(JSON.stringify({ type: ask, sinceHLC, requestId: 'all' }));
  });
}

const methods = serveProgram({
  async read(reading: Reading): Promise<ReadFigures> {
    const { url, databaseId, compressed } = reading;
    const socket =
      databaseId === undefined
        ? await openSocket(url)
        : await openSession(url, new TransactionMaker().siteText, databaseId, compressed);
    try {
      return await read(socket, reading);
    } finally {
      socket.removeAllListeners('close').terminate();
    }
  },
});

export type ReadLoad = typeof methods;
