/**
 * A TCP proxy before a server that treats connections badly, at random but by a seed: it cuts them, holds
 * bytes back, and sends what a client says to the server on a second connection as well, whose answers
 * nobody reads.
 */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestOwner } from '../../../../src/testing/index.ts';

/** Mulberry32. @returns from 0 up to 1 */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class RoughProxy {
  port = 0;
  cuts = 0;
  duplicates = 0;
  isRough = true;
  /** Nothing gets through, and nobody is told. */
  isSilent = false;
  readonly #random: () => number;
  readonly #serverPort: number;
  readonly #sockets = new Set<Socket>();

  private constructor(serverPort: number, seed: number) {
    this.#serverPort = serverPort;
    this.#random = createRandom(seed);
  }

  static async start(owner: TestOwner, serverPort: number, seed: number): Promise<RoughProxy> {
    const proxy = new RoughProxy(serverPort, seed);
    const listener = createServer((client) => proxy.#accept(client));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    proxy.port = (listener.address() as AddressInfo).port;
    owner.after(() => {
      proxy.cutAll();
      listener.close();
    });
    return proxy;
  }

  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  #isNow(chance: number): boolean {
    return this.isRough && this.#random() < chance;
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    return socket.setNoDelay();
  }

  #accept(client: Socket): void {
    this.#keep(client);
    const server = this.#keep(connect(this.#serverPort, '127.0.0.1'));
    const isDuplicated = this.#isNow(0.3);
    const shadow = isDuplicated ? this.#keep(connect(this.#serverPort, '127.0.0.1')) : undefined;
    if (isDuplicated) this.duplicates++;
    shadow?.resume();
    const end = () => {
      for (const socket of [client, server, shadow]) socket?.destroy();
    };
    for (const socket of [client, server]) socket.on('close', end);
    this.#pass(client, shadow === undefined ? [server] : [server, shadow], end);
    this.#pass(server, [client], end);
  }

  #pass(from: Socket, to: readonly Socket[], cut: () => void): void {
    from.on('data', (bytes) => {
      if (this.isSilent) return;
      if (this.#isNow(0.05)) {
        this.cuts++;
        // Perhaps amid a frame.
        const part = bytes.subarray(0, Math.floor(this.#random() * bytes.length));
        for (const socket of to) socket.write(part);
        setTimeout(cut, 1);
        from.pause();
        return;
      }
      const send = () => {
        for (const socket of to) if (!socket.destroyed) socket.write(bytes);
        from.resume();
      };
      if (!this.#isNow(0.3)) return send();
      from.pause();
      setTimeout(send, this.#random() * 20);
    });
  }
}
