/** Answers the pings of a WebSocket. However many a peer sends without reading, only one answer is queued. */

import type { WebSocket } from 'ws';

export class Pongs {
  readonly #socket: WebSocket;
  /** Whether a pong is on its way, and the payload of the one to send after it. */
  #isSending = false;
  #next: Uint8Array | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  send(payload: Uint8Array): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#isSending) {
      this.#next = payload;
      return;
    }
    this.#isSending = true;
    this.#socket.pong(payload, false, () => {
      this.#isSending = false;
      const next = this.#next;
      this.#next = undefined;
      if (next !== undefined) this.send(next);
    });
  }
}
