/**
 * Requests that would like to speak another protocol, and need not: clients of Java and `curl --http2` ask for HTTP/2 so
 * (`Upgrade: h2c`), and go on in HTTP/1.1 where nobody answers that. Node.js would take each of them for a WebSocket
 * to be as soon as there is anybody who takes upgrades.
 */

import { IncomingMessage } from 'node:http';

/** To be given to an HTTP server as its `IncomingMessage`. */
export class PlainUnlessWebSocket extends IncomingMessage {
  /** What Node.js thinks of it. Not a field: the constructor of `IncomingMessage` sets it. */
  declare protected asksToUpgrade: boolean | null | undefined;

  get upgrade(): boolean {
    if (!this.asksToUpgrade) return false;
    return this.method === 'CONNECT' || this.headers.upgrade?.toLowerCase() === 'websocket';
  }

  set upgrade(asks: boolean | null) {
    this.asksToUpgrade = asks;
  }
}
