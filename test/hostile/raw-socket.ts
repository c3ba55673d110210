/** TCP, without anybody who minds what is said over it. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Device } from '../../src/testing/device.ts';

export interface RawSocket {
  socket: Socket;
  /** What has been heard so far. */
  heard(): Buffer;
  /** Resolves with all that was heard, when the other end is gone. */
  ended: Promise<Buffer>;
}

export async function openRaw(port: number): Promise<RawSocket> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  // Not by `once`, which rejects where the other end resets the connection.
  const ended = new Promise<Buffer>((resolve) => {
    socket.once('close', () => resolve(Buffer.concat(chunks)));
  });
  await once(socket, 'connect');
  return { socket, ended, heard: () => Buffer.concat(chunks) };
}

/** Writes, and resolves when there is room for more, or nobody listens any more. */
export async function writeAll({ socket, ended }: RawSocket, bytes: Buffer): Promise<void> {
  if (socket.destroyed || socket.write(bytes)) return;
  await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), ended]);
}

/** A socket that has been upgraded, and speaks WebSocket from here on. */
export async function openRawWebSocket(port: number, headers = ''): Promise<RawSocket> {
  const raw = await openRaw(port);
  raw.socket.write(
    `GET /sync/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  );
  await heardOf(raw, '\r\n\r\n');
  return raw;
}

/** A client over a socket whose every byte is its own. */
export async function joinRaw(
  { server, owner }: { server: { port: number }; owner: { after(fn: () => unknown): void } },
  number: number,
): Promise<RawSocket> {
  const raw = await openRawWebSocket(server.port);
  owner.after(() => raw.socket.destroy());
  const { siteId } = new Device(number);
  const handshake = Buffer.from(JSON.stringify({ type: 'handshake', siteId }));
  raw.socket.write(Buffer.concat([frameHeader(handshake.length), handshake]));
  await heardOf(raw, 'handshake_ack');
  return raw;
}

/** Resolves once it has been said, or the other end is gone. */
export async function heardOf({ socket, ended, heard }: RawSocket, text: string): Promise<void> {
  while (!socket.destroyed && !heard().includes(text)) {
    await Promise.race([new Promise((resolve) => socket.once('data', resolve)), ended]);
  }
}

/** The beginning of a frame from a client, masked with zeros: what follows stays as it is. */
export function frameHeader(length: number, { opcode = 1, fin = true, rsv1 = false } = {}): Buffer {
  const first = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  const mask = Buffer.alloc(4);
  if (length < 126) return Buffer.concat([Buffer.of(first, 0x80 | length), mask]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(length));
  return Buffer.concat([Buffer.of(first, 0x80 | 127), size, mask]);
}

/** The code of the close frame that is the last that was heard; `undefined` if there is none. */
export function closeCode(heard: Buffer): number | undefined {
  for (let at = heard.indexOf('\r\n\r\n') + 4; at + 2 <= heard.length; ) {
    const opcode = (heard[at] ?? 0) & 0x0f;
    const short = (heard[at + 1] ?? 0) & 0x7f;
    const [length, start] =
      short < 126
        ? [short, at + 2]
        : short === 126
          ? [heard.readUInt16BE(at + 2), at + 4]
          : [Number(heard.readBigUInt64BE(at + 2)), at + 10];
    if (opcode === 8) return heard.readUInt16BE(start);
    at = start + length;
  }
  return undefined;
}
