/** A way to PostgreSQL that can be cut, also in the middle of an answer, or swallow everything. */

import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import type { TestPostgres } from './postgres.ts';

export interface PostgresProxy {
  /** The URL of a store that is reached through it. */
  through(url: string): string;
  /** Cuts the connection whose next answer matches, once, before that is passed on. */
  cutBefore: RegExp | undefined;
  cuts: number;
  /** Connections that were made to it so far. */
  accepted: number;
  /** From now on not a byte is passed on, and no socket closed: as when a cable is pulled. */
  pause(): void;
  /**
   * Pauses when a statement that matches is on its way to PostgreSQL.
   * @param when before it is passed on, or after: then only its answer is held back
   * @returns when it has
   */
  pauseAt(statement: RegExp, when: 'before' | 'after'): Promise<void>;
  /** Passes on what was held back. */
  resume(): void;
  /**
   * Lets new connections through. Those of before stay open, and dead: as when a firewall has
   * forgotten them.
   */
  resumeAnew(): void;
}

interface Trap {
  statement: RegExp;
  when: 'before' | 'after';
  sprung(): void;
}

/** What the connections of one time share. */
class Way {
  #isPaused = false;
  readonly #held: (() => void)[] = [];

  pass(act: () => void): void {
    if (this.#isPaused) this.#held.push(act);
    else act();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    for (const act of this.#held.splice(0)) act();
  }
}

export async function startPostgresProxy(
  t: { after(fn: () => unknown): void },
  postgres: TestPostgres,
): Promise<PostgresProxy> {
  const sockets = new Set<Socket>();
  let way = new Way();
  let trap: Trap | undefined;
  const server = createServer((inner) => {
    proxy.accepted++;
    const ours = way;
    const outer = dial(postgres.port, '127.0.0.1');
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => ours.pass(() => other.destroy()));
    }
    inner.on('data', (data: Buffer) => {
      const sprung = trap?.statement.test(data.toString('latin1')) ? trap : undefined;
      if (sprung?.when === 'before') ours.pause();
      ours.pass(() => outer.write(data));
      if (sprung === undefined) return;
      ours.pause();
      trap = undefined;
      sprung.sprung();
    });
    outer.on('data', (data: Buffer) => {
      if (proxy.cutBefore?.test(data.toString('latin1'))) {
        proxy.cutBefore = undefined;
        proxy.cuts++;
        inner.destroy();
      } else ours.pass(() => inner.write(data));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  const { port } = address;
  const proxy: PostgresProxy = {
    cutBefore: undefined,
    cuts: 0,
    accepted: 0,
    through: (url) => url.replace(`:${postgres.port}/`, `:${port}/`),
    pause: () => way.pause(),
    pauseAt: (statement, when) =>
      new Promise((resolve) => {
        trap = { statement, when, sprung: resolve };
      }),
    resume: () => way.resume(),
    resumeAnew() {
      way = new Way();
    },
  };
  return proxy;
}
