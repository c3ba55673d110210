/**
 * Serves requests that offer another protocol as plain ones: clients in Java and `curl --http2` offer HTTP/2
 * (`Upgrade: h2c`), and go on in HTTP/1.1 if the server ignores that. Node.js would treat each of them as an
 * upgrade, since the server has a listener for those. It also drops what it has read in one piece with such a
 * request and behind it: the answer then says that the connection ends, so that the client sends it again.
 */

import { IncomingMessage, type Server, type ServerResponse } from 'node:http';

const END_OF_HEAD = '\r\n\r\n';
const END_OF_CHUNKS = Buffer.from('0\r\n\r\n');
const END_OF_REQUEST_LINE = ' HTTP/1.1\r\n';

/** To be given to an HTTP server as its `IncomingMessage`. */
export class PlainUnlessWebSocket extends IncomingMessage {
  /** What Node.js thinks of it. Not a field: the constructor of `IncomingMessage` sets it. */
  declare protected asksToUpgrade: boolean | null | undefined;
  #lastChunk: Uint8Array = END_OF_CHUNKS;
  #onEnd: ((lastChunk: Uint8Array) => void) | undefined;

  get upgrade(): boolean {
    if (!this.asksToUpgrade) return false;
    return this.method === 'CONNECT' || this.headers.upgrade?.toLowerCase() === 'websocket';
  }

  set upgrade(asks: boolean | null) {
    this.asksToUpgrade = asks;
  }

  /** @param onEnd called while the piece with the end of the body is read, with the last of the body */
  watchEnd(onEnd: (lastChunk: Uint8Array) => void): void {
    this.#onEnd = onEnd;
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null) this.#onEnd?.(this.#lastChunk);
    else if (this.#onEnd !== undefined && chunk instanceof Uint8Array) this.#lastChunk = chunk;
    return super.push(chunk, encoding);
  }
}

/** To be called for a server of `PlainUnlessWebSocket`. Where it is not certain that nothing follows, something may. */
export function closeBehindUpgrades(server: Server): void {
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const { upgrade, 'content-length': length, 'transfer-encoding': coding } = request.headers;
    if (upgrade === undefined || !(request instanceof PlainUnlessWebSocket)) return;
    const first = pieceOf(request);
    if (coding === undefined && Number(length ?? 0) === 0) {
      const isLast = first.indexOf(END_OF_HEAD) === first.length - END_OF_HEAD.length;
      if (!isLast) endAfter(response);
      return;
    }
    request.watchEnd((lastChunk) => {
      const piece = pieceOf(request);
      const end = coding === undefined ? lastChunk : END_OF_CHUNKS;
      const heads = piece.toString('latin1').split(END_OF_REQUEST_LINE).length - 1;
      const isLast =
        piece.subarray(-end.length).equals(end) && heads <= (piece.equals(first) ? 1 : 0);
      if (!isLast) endAfter(response);
    });
  });
}

/** What Node.js is reading at the moment, which it gives to listeners for upgrades as well. Else nothing. */
function pieceOf({ socket }: IncomingMessage): Buffer {
  const parser: unknown = Reflect.get(socket, 'parser');
  if (typeof parser !== 'object' || parser === null || !('getCurrentBuffer' in parser)) {
    return Buffer.alloc(0);
  }
  const { getCurrentBuffer } = parser;
  const piece: unknown = typeof getCurrentBuffer === 'function' && getCurrentBuffer.call(parser);
  return Buffer.isBuffer(piece) ? piece : Buffer.alloc(0);
}

function endAfter(response: ServerResponse): void {
  response.shouldKeepAlive = false;
  // It was refused before its body had come.
  if (response.headersSent) response.once('close', () => response.req.socket.destroySoon());
}
