/**
 * Serves requests that offer another protocol as plain ones: clients in Java and `curl --http2` offer HTTP/2
 * (`Upgrade: h2c`), and go on in HTTP/1.1 if the server ignores that. Node.js would treat each of them as an
 * upgrade, since the server has a listener for those.
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
