/** A way to PostgreSQL that can be cut, also in the middle of an answer, or pass nothing on. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface PostgresProxy {
  port: number;
  /** What of the server's bytes is not passed on, but cuts the connection; once. */
  cutBefore: RegExp | undefined;
  cuts: number;
  /** Connections that were made to it so far. */
  accepted: number;
  /** The same URL, through the proxy. */
  through(url: string): string;
  /** Takes connections and bytes, and passes nothing on. */
  pause(): void;
  resume(): void;
}

/** @param postgresPort on this machine */
export async function startPostgresProxy(
  t: Pick<TestContext, 'after'>,
  postgresPort: number,
): Promise<PostgresProxy> {
  const sockets = new Set<Socket>();
  let isPaused = false;
  const proxy: PostgresProxy = {
    port: 0,
    cutBefore: undefined,
    cuts: 0,
    accepted: 0,
    through: (url) => url.replace(`:${postgresPort}/`, `:${proxy.port}/`),
    pause() {
      isPaused = true;
      for (const socket of sockets) socket.pause();
    },
    resume() {
      isPaused = false;
      for (const socket of sockets) socket.resume();
    },
  };
  const server = createServer((inner) => {
    proxy.accepted++;
    const outer = dial(postgresPort, '127.0.0.1');
    for (const socket of [inner, outer]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        inner.destroy();
        outer.destroy();
      });
    }
    inner.on('data', (data: Buffer) => outer.write(data));
    outer.on('data', (data: Buffer) => {
      if (proxy.cutBefore?.test(data.toString('latin1'))) {
        proxy.cutBefore = undefined;
        proxy.cuts++;
        inner.destroy();
      } else inner.write(data);
    });
    if (!isPaused) return;
    inner.pause();
    outer.pause();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  proxy.port = address.port;
  return proxy;
}
