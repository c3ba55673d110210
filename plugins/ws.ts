/** The WebSocket route: makes a `ClientConnection` for each socket, and closes stalled sockets. */

import { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { RawData, WebSocket } from 'ws';
import { SyncError } from '../src/errors/sync-error.ts';
import { plainAddress } from '../src/hooks/client-source.ts';
import { createLogger } from '../src/logging/logger.ts';
import { WS_CLOSE } from '../src/protocol/close-codes.ts';
import type { Entry } from '../src/service/budgets/linked-list.ts';
import { ClientConnection } from '../src/sessions/client-connection.ts';
import { PeerWatch, type Watched } from '../src/sessions/peer-watch.ts';
import { SocketSendQueue } from '../src/sessions/socket-send-queue.ts';
import { isLongText, type JsonText } from '../src/wire/long-json.ts';
import { deflates, inflateWith } from './deflate.ts';

const logger = createLogger('sync-coordinator:ws');

/** Errors of `ws` for a message that is too long, or comes in more parts than the limit. */
const TOO_LARGE: ReadonlySet<unknown> = new Set([
  'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
  'WS_ERR_TOO_MANY_BUFFERED_PARTS',
]);

interface Served {
  connection: ClientConnection;
  sendQueue: SocketSendQueue;
  watched: Entry<Watched<SocketSendQueue>>;
}

/**
 * A long message stays in bytes. A short one may be a slice of a larger buffer, which becomes free.
 */
function toJsonText(data: RawData): JsonText {
  const bytes = toBuffer(data);
  return isLongText(bytes) ? bytes : bytes.toString();
}

function toBuffer(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

export default fp(
  async (app) => {
    const { coordinator: service, coordinatorConfig: config } = app;
    const { pingMs, shutdownMs } = config.limits;
    const watch = new PeerWatch<SocketSendQueue>(config.limits, (limit) => {
      if (limit === 'limits.stalledMs') service.metrics.socketsStalled.inc();
      service.metrics.limitMet(limit);
    });
    let queuedBytes = 0;
    service.queuedBytes = () => queuedBytes;

    const onBytes = (delta: number) => {
      queuedBytes += delta;
    };

    /** The listeners of sockets are the same for all, and find here what belongs to theirs. */
    const servedBySocket = new WeakMap<WebSocket, Served>();
    const servedOf = (socket: WebSocket): Served => {
      const served = servedBySocket.get(socket);
      if (served === undefined) throw new TypeError('this socket is not served');
      return served;
    };

    function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
      servedOf(this).connection.receive(isBinary ? undefined : toJsonText(data));
    }

    function onPing(this: WebSocket, payload: Buffer): void {
      servedOf(this).connection.pinged(payload);
    }

    function onError(this: WebSocket, error: Error): void {
      logger('socket error: %s', error.message);
      if ('code' in error && TOO_LARGE.has(error.code)) {
        service.metrics.limitMet('limits.messageBytes');
      }
      // `ws` has told the peer why. What the peer still sends is read and dropped until it has
      // read that: if the socket were cut it would not learn the reason. `ws` itself would go on
      // for half a minute.
      servedOf(this).sendQueue.close(WS_CLOSE.protocolError, 'protocol error');
    }

    function onClose(this: WebSocket, code: number): void {
      const { watched, sendQueue, connection } = servedOf(this);
      watch.remove(watched);
      service.connections--;
      logger('closed: %s, %d', connection.remoteAddress, code);
      sendQueue.closed();
      connection.closed();
    }

    const serve = (socket: WebSocket, request: FastifyRequest) => {
      const rawSocket = request.raw.socket;
      const isDeflating = deflates(app, socket);
      const sendQueue = new SocketSendQueue(socket, onBytes, rawSocket, isDeflating);
      const { headers } = request;
      const remoteAddress = plainAddress(request.ip);
      // Where nothing is sent or read for long, such as a socket that is paused, the system asks whether the peer is there.
      if (rawSocket instanceof Socket) rawSocket.setKeepAlive(true, pingMs);
      const connection = new ClientConnection({
        service,
        sendQueue,
        socket,
        rawSocket,
        headers,
        remoteAddress,
      });
      if (isDeflating) inflateWith(connection.inflater, socket, rawSocket);
      servedBySocket.set(socket, { connection, sendQueue, watched: watch.add(sendQueue) });
      service.connections++;
      logger('connected: %s', remoteAddress);
      socket.on('message', onMessage);
      socket.on('ping', onPing);
      // The listener that @fastify/websocket has left would keep the request and the reply alive.
      socket.removeAllListeners('error');
      socket.on('error', onError);
      socket.on('close', onClose);
      if (service.isStopping) sendQueue.close(WS_CLOSE.shuttingDown, 'shutting down');
    };

    app.route({
      method: 'GET',
      url: '/ws',
      exposeHeadRoute: false,
      onRequest: async ({ ip }) => service.pendingHandshakes.demandRoom(ip),
      // The reply is no longer used, and the socket would keep it alive.
      preHandler: async ({ ws, raw }, reply) => {
        if (ws) reply.raw.detachSocket(raw.socket);
      },
      handler: () => {
        throw new SyncError('NOT_FOUND', 'this route speaks WebSocket only');
      },
      wsHandler: serve,
    });

    // @fastify/websocket would wait for silent peers; here they get a second, then they are cut.
    app.addHook('preClose', async () => {
      watch.stop();
      await service.settle(shutdownMs);
      const closed = watch.peers.map((peer) => {
        peer.close(WS_CLOSE.shuttingDown, 'shutting down');
        return peer.ended();
      });
      await Promise.all(closed);
    });
  },
  {
    name: 'sync-coordinator-ws',
    fastify: '5.x',
    dependencies: [
      'sync-coordinator-config',
      'sync-coordinator-service',
      'sync-coordinator-websocket',
    ],
  },
);
