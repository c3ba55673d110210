/**
 * @fastify/websocket, with the coordinator's limits. It comes before every plugin that may
 * refuse a request: only then does it close the sockets of upgrades that are refused.
 */

import type { Duplex } from 'node:stream';
import websocket from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { CoordinatorConfig } from '../src/config/schema.ts';

export interface WebsocketPluginOptions {
  limits: Pick<CoordinatorConfig['limits'], 'messageBytes' | 'handshakeTimeoutMs'>;
}

/** How often to look whether an upgrade has been refused. */
const LOOK_MS = 500;

export default fp<WebsocketPluginOptions>(
  async (app, { limits: { messageBytes, handshakeTimeoutMs } }) => {
    // An app that the coordinator is registered into may have it already: one is enough.
    if (app.hasDecorator('websocketServer')) return;
    const options = { maxPayload: messageBytes, perMessageDeflate: false };
    // Sockets are closed by `ws.ts`; the default would wait for silent peers.
    await app.register(websocket, { options, preClose: (done) => done() });
    if (app.prefix !== '') cutRefusedUpgrades(app, handshakeTimeoutMs);
  },
  { name: 'sync-coordinator-websocket', fastify: '5.x' },
);

/**
 * Within a prefix @fastify/websocket hears of every upgrade on the server, but closes only the
 * refused ones of its own scope. Nobody would read or close the others: one that has been
 * written to, and is no WebSocket, was refused.
 */
function cutRefusedUpgrades(app: FastifyInstance, waitMs: number): void {
  const looking = new Map<Duplex, NodeJS.Timeout>();
  const settle = (socket: Duplex) => {
    clearInterval(looking.get(socket));
    looking.delete(socket);
  };
  app.server.on('upgrade', ({ socket }, stream) => {
    // Somebody else on this server takes upgrades, too: which are refused is not ours to say.
    if (app.server.listenerCount('upgrade') > 2) return;
    const startedAt = performance.now();
    const look = () => {
      if (socket.bytesWritten > 0 || performance.now() - startedAt > waitMs) socket.destroy();
    };
    looking.set(stream, setInterval(look, LOOK_MS));
    stream.once('close', () => settle(stream));
  });
  app.websocketServer.on('connection', (_socket, { socket }) => settle(socket));
}
