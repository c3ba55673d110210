/**
 * Listens on a host with several addresses, such as `localhost` with IPv6. All connections go to
 * the one HTTP server, so its limits and deadlines hold for all of them together.
 */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer, type Server as Listener } from 'node:net';
import { codeOf } from '../errors/sync-error.ts';
import type { Logger } from '../logging/logger.ts';

/** All addresses to listen on. The server itself listens on the first. */
export async function addressesOf(host: string): Promise<[string, ...string[]]> {
  if (host !== 'localhost') return [host];
  const found = await lookup(host, { all: true }).catch(() => []);
  const [first = host, ...others] = new Set(found.map(({ address }) => address));
  return [first, ...others];
}

/** For a machine without IPv6 on which `localhost` nevertheless has an IPv6 address. */
const ABSENT_CODES = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/**
 * @param server listens already, on `port`
 * @returns stops listening on `addresses`
 */
export async function listenAlso(
  server: Server,
  addresses: readonly string[],
  { port, logger }: { port: number; logger: Pick<Logger, 'warn'> },
): Promise<() => Promise<void>> {
  const listeners: Listener[] = [];
  for (const host of addresses) {
    // The options that Node.js uses for its own HTTP servers.
    const listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      server.emit('connection', socket),
    );
    if (server.maxConnections > 0) listener.maxConnections = server.maxConnections;
    listener.on('drop', (dropped) => server.emit('drop', dropped));
    try {
      await once(listener.listen({ host, port }), 'listening');
      listeners.push(listener);
    } catch (error) {
      if (ABSENT_CODES.has(codeOf(error) ?? '')) continue;
      logger.warn(
        '%s port %d, another address of this host, is not listened on: %s',
        host,
        port,
        error,
      );
    }
  }
  return async () => {
    const closed = listeners.map((listener) => once(listener.close(), 'close'));
    await Promise.all(closed);
  };
}
