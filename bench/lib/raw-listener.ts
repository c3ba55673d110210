/**
 * A WebSocket that only listens, as a bare TCP connection: hundreds of them in one process take
 * less than what they are sent costs the server, which `ws` does not manage.
 */

import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

const HEADERS_END = Buffer.from('\r\n\r\n');
const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const EMPTY = Buffer.alloc(0);

export class RawListener {
  readonly socket: Socket;
  /** Given each message, text or binary, which is only valid during the call. */
  onMessage: (message: Buffer) => void = () => {};
  onClose: () => void = () => {};
  #rest = EMPTY;

  private constructor(socket: Socket, rest: Buffer) {
    this.socket = socket;
    socket.on('data', (data) => this.#receive(data));
    socket.on('close', () => this.onClose());
    if (rest.length > 0) setImmediate(() => this.#receive(rest));
  }

  static open(url: string): Promise<RawListener> {
    const { hostname, port, pathname } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\n` +
        `Connection: Upgrade\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
        'Sec-WebSocket-Version: 13\r\n\r\n',
    );
    return new Promise((resolve, reject) => {
      let head = EMPTY;
      const take = (data: Buffer) => {
        head = Buffer.concat([head, data]);
        const end = head.indexOf(HEADERS_END);
        if (end < 0) return;
        socket.off('data', take);
        socket.off('error', reject);
        if (!head.subarray(0, 12).equals(Buffer.from('HTTP/1.1 101'))) {
          reject(new Error(`no upgrade: ${head.subarray(0, end)}`));
          return;
        }
        socket.on('error', () => socket.destroy());
        resolve(new RawListener(socket, head.subarray(end + HEADERS_END.length)));
      };
      socket.on('data', take);
      socket.on('error', reject);
    });
  }

  /** Shakes hands, and waits for the answer. */
  async join(siteId: string, databaseId: string): Promise<void> {
    const answer = new Promise<void>((resolve, reject) => {
      this.onMessage = (message) =>
        message.subarray(0, 30).includes('handshake_ack')
          ? resolve()
          : reject(new Error(`no ack: ${message}`));
    });
    const handshake = { type: 'handshake', siteId, databaseId, protocolVersion: 1 };
    this.#send(OPCODE.text, Buffer.from(JSON.stringify(handshake)));
    await answer;
    this.onMessage = () => {};
  }

  sendBinary(message: Uint8Array): void {
    this.#send(OPCODE.binary, Buffer.from(message));
  }

  /** With a mask of zeros, which changes nothing. Handshakes and pongs are short. */
  #send(opcode: number, payload: Buffer): void {
    const length =
      payload.length < 126
        ? [0x80 | payload.length]
        : [0x80 | 126, payload.length >> 8, payload.length & 255];
    this.socket.write(Buffer.concat([Buffer.of(0x80 | opcode, ...length, 0, 0, 0, 0), payload]));
  }

  #receive(data: Buffer): void {
    const bytes = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    let at = 0;
    for (;;) {
      const start = payloadStart(bytes, at);
      if (start === undefined) break;
      const end = start + payloadLength(bytes, at);
      if (end > bytes.length) break;
      const opcode = (bytes[at] ?? 0) & 15;
      if (opcode === OPCODE.text || opcode === OPCODE.binary) {
        this.onMessage(bytes.subarray(start, end));
      }
      if (opcode === OPCODE.ping) this.#send(OPCODE.pong, bytes.subarray(start, end));
      else if (opcode === OPCODE.close) this.socket.destroy();
      at = end;
    }
    this.#rest = at === bytes.length ? EMPTY : Buffer.from(bytes.subarray(at));
  }
}

/** `undefined` while the frame's header is not whole. */
function payloadStart(bytes: Buffer, at: number): number | undefined {
  if (at + 2 > bytes.length) return undefined;
  const length = (bytes[at + 1] ?? 0) & 127;
  const start = at + (length < 126 ? 2 : length === 126 ? 4 : 10);
  return start > bytes.length ? undefined : start;
}

function payloadLength(bytes: Buffer, at: number): number {
  const length = (bytes[at + 1] ?? 0) & 127;
  if (length < 126) return length;
  return length === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
}
