/**
 * Registers @fastify/websocket with the coordinator's limits. It has to come before every plugin
 * that may refuse a request: only then does it close the sockets of refused upgrades.
 */

import type { Duplex } from 'node:stream';
import websocket from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { CoordinatorConfig } from '../src/config/schema.ts';
import { SyncError } from '../src/errors/sync-error.ts';
import { DEFLATE, replaceOffers } from './deflate.ts';
import { answerAndClose, sendError } from './errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set for routes that have a WebSocket handler. */
    speaksWebSocket?: boolean;
  }
}

export interface WebsocketPluginOptions {
  /** Set if it is registered for the whole app, and so closes every upgrade that is refused. */
  isWholeApp?: boolean;
  limits: Pick<CoordinatorConfig['limits'], 'messageBytes' | 'handshakeTimeoutMs'>;
  compression?: CoordinatorConfig['compression'];
  /** Whether web pages may read why a handshake was refused. */
  isForPages?: boolean;
}

/** A message of any length may come in so many frames, and in so many pieces from the network. */
const PARTS_MIN = 1024;
/** Above that, the least average size of its frames. Browsers send frames of 64 KiB and more. */
const FRAGMENT_BYTES = 8 * 1024;
/** Above that, the least average size of its pieces. */
const CHUNK_BYTES = 512;
const WS_VERSION = 13;
/** How often to check whether an upgrade has been refused. */
const LOOK_MS = 500;

export default fp<WebsocketPluginOptions>(
  async (app, { limits, compression, isForPages = false, isWholeApp }) => {
    const { messageBytes, handshakeTimeoutMs } = limits;
    // An app around the coordinator may have it already: one is enough.
    if (app.hasDecorator('websocketServer')) {
      refuseOtherUpgrades(app);
      return;
    }
    // `ws.ts` answers pings at the pace of the socket; `ws` would queue any number of pongs.
    const options = {
      maxPayload: messageBytes,
      maxFragments: Math.max(PARTS_MIN, Math.ceil(messageBytes / FRAGMENT_BYTES)),
      maxBufferedChunks: Math.max(PARTS_MIN, Math.ceil(messageBytes / CHUNK_BYTES)),
      perMessageDeflate: compression?.websocket === true && DEFLATE,
      autoPong: false,
      // `ws.ts` keeps the sockets. A Set would keep closed ones in memory (see `linked-list.ts`).
      clientTracking: false,
    };
    // `ws.ts` closes the sockets; the default would wait for silent peers.
    await app.register(websocket, { options, preClose: (done) => done() });
    if (options.perMessageDeflate !== false) replaceOffers(app);
    // It would answer in a page of HTML: a wrong version, key or extension.
    app.websocketServer.on('wsClientError', (error: Error, socket: Duplex) => {
      const refusal = new SyncError('MESSAGE_ERROR', error.message);
      answerAndClose(refusal, socket, isForPages, [`Sec-WebSocket-Version: ${WS_VERSION}`]);
    });
    refuseOtherUpgrades(app);
    if (!isWholeApp) cutRefusedUpgrades(app, handshakeTimeoutMs);
  },
  { name: 'sync-coordinator-websocket', fastify: '5.x' },
);

/**
 * @fastify/websocket upgrades a request to any GET route of its scope, and then closes the
 *   WebSocket if the route has no handler for it. Such a socket would bypass every limit for
 *   pending handshakes. The route that was found decides, not the spelling of the path.
 */
function refuseOtherUpgrades(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    if (route.websocket === true || route.wsHandler !== undefined) {
      route.config = { ...route.config, speaksWebSocket: true };
    }
  });
  // As early as the upgrade is known; @fastify/websocket closes the connection after the answer.
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
  /** The coordinator's listeners for upgrades: this watch, and each @fastify/websocket. */
  ownListeners: number;
}

/** One for each server, however many coordinators are registered in its app. */
const watches = new WeakMap<FastifyInstance['server'], Watch>();

/**
 * Within a scope @fastify/websocket sees every upgrade on the server, but closes only the refused
 * ones of its own scope. No component would read or close the others. A socket that has been
 * written to and is no WebSocket was refused.
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
    // Another component of this server takes upgrades too, so refused ones cannot be told.
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
