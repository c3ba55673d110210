/**
 * @fastify/websocket, with the coordinator's limits. It comes before every plugin that may
 * refuse a request: only then does it close the sockets of upgrades that are refused.
 */

import type { Duplex } from 'node:stream';
import websocket from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { CoordinatorConfig } from '../src/config/schema.ts';
import { SyncError } from '../src/errors/sync-error.ts';
import { sendError } from './errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set for routes that have a WebSocket handler. */
    speaksWebSocket?: boolean;
  }
}

export interface WebsocketPluginOptions {
  /** It is registered for the whole app, and so closes whatever upgrade is refused. */
  isWholeApp?: boolean;
  limits: Pick<CoordinatorConfig['limits'], 'messageBytes' | 'handshakeTimeoutMs'>;
}

/** However large a message may be, it may come in so many frames and pieces of what is read; */
const PARTS_MIN = 1024;
/** beyond that its frames must be as large on average (browsers make them of 64 KiB and more), */
const FRAGMENT_BYTES = 8 * 1024;
/** and the pieces of one frame, which are what networks make of it. */
const CHUNK_BYTES = 512;
/** How often to look whether an upgrade has been refused. */
const LOOK_MS = 500;

export default fp<WebsocketPluginOptions>(
  async (app, { limits: { messageBytes, handshakeTimeoutMs }, isWholeApp }) => {
    // An app that the coordinator is registered into may have it already: one is enough.
    if (app.hasDecorator('websocketServer')) {
      refuseOtherUpgrades(app);
      return;
    }
    // Pings are answered by `ws.ts`, at the pace of the socket: by itself it would queue any number.
    const options = {
      maxPayload: messageBytes,
      maxFragments: Math.max(PARTS_MIN, Math.ceil(messageBytes / FRAGMENT_BYTES)),
      maxBufferedChunks: Math.max(PARTS_MIN, Math.ceil(messageBytes / CHUNK_BYTES)),
      perMessageDeflate: false,
      autoPong: false,
      // `ws.ts` knows them. A Set would keep those that have gone (see `linked-list.ts`).
      clientTracking: false,
    };
    // Sockets are closed by `ws.ts`; the default would wait for silent peers.
    await app.register(websocket, { options, preClose: (done) => done() });
    refuseOtherUpgrades(app);
    if (!isWholeApp) cutRefusedUpgrades(app, handshakeTimeoutMs);
  },
  { name: 'sync-coordinator-websocket', fastify: '5.x' },
);

/**
 * @fastify/websocket upgrades a request to any GET route of its scope, and closes the WebSocket then
 * where the route has no handler for it. Such a socket would pass every limit of those that have
 * not shaken hands. It is decided by the route that was found, not by how its path was spelled.
 */
function refuseOtherUpgrades(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    if (route.websocket === true || route.wsHandler !== undefined) {
      route.config = { ...route.config, speaksWebSocket: true };
    }
  });
  // As early as the upgrade is known of; @fastify/websocket closes the connection after the answer.
  app.addHook('onRequest', (request, reply, done) => {
    const { ws, method, routeOptions } = request;
    if (!ws || (method === 'GET' && routeOptions.config.speaksWebSocket === true)) {
      done();
      return;
    }
    reply.header('Connection', 'close');
    sendError(reply, new SyncError('NOT_FOUND', 'no WebSocket is to be had here'));
  });
}

interface Watch {
  looking: Map<Duplex, NodeJS.Timeout>;
  /** Listeners for upgrades that are ours: of this watch, and of each @fastify/websocket. */
  ownListeners: number;
}

/** One for a server, however many coordinators are registered in its app. */
const watches = new WeakMap<FastifyInstance['server'], Watch>();

/**
 * Within a scope @fastify/websocket hears of every upgrade on the server, but closes only the
 * refused ones of its own scope. Nobody would read or close the others: one that has been
 * written to, and is no WebSocket, was refused.
 */
function cutRefusedUpgrades({ server, websocketServer }: FastifyInstance, waitMs: number): void {
  const watch = watches.get(server) ?? startWatch(server, waitMs);
  watch.ownListeners++;
  websocketServer.on('connection', (_socket, { socket }) => settle(watch, socket));
}

function startWatch(server: FastifyInstance['server'], waitMs: number): Watch {
  const watch: Watch = { looking: new Map(), ownListeners: 1 };
  watches.set(server, watch);
  server.on('upgrade', ({ socket }, stream) => {
    // Somebody else on this server takes upgrades, too: which are refused is not ours to say.
    if (server.listenerCount('upgrade') > watch.ownListeners) return;
    const startedAt = performance.now();
    const look = () => {
      if (socket.bytesWritten > 0 || performance.now() - startedAt > waitMs) socket.destroy();
    };
    watch.looking.set(stream, setInterval(look, LOOK_MS));
    stream.once('close', () => settle(watch, stream));
  });
  return watch;
}

function settle({ looking }: Watch, socket: Duplex): void {
  clearInterval(looking.get(socket));
  looking.delete(socket);
}
