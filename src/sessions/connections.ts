/**
 * Bounds the TCP connections of an HTTP server, in total and for each address. If there are too
 * many, an idle connection (without a request) is closed, of the address with the most idle ones.
 * HTTP clients have to expect that at any time, and connect again.
 */

import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { LimitName } from '../errors/limit-names.ts';
import { addressToSource } from '../hooks/client-source.ts';
import { Budget } from '../service/budgets/budget.ts';

export interface ConnectionLimits {
  connections: number;
  /** The share of one address, in percent. */
  sharePerUser: number;
}

/**
 * How many connections beyond the bound are accepted, to decide which connection makes room: as a
 * number and as a share of the bound.
 */
const LOOKED_AT_MAX = 64;
const LOOKED_AT_SHARE = 0.2;

interface Connection {
  socket: Socket;
  source: string;
  /** Requests under way. */
  requests: number;
}

/** @param onLimit called for each connection that is closed because of a limit */
export function limitConnections(
  server: Server,
  { connections: max, sharePerUser }: ConnectionLimits,
  onLimit: (limit: LimitName) => void,
): void {
  const budget = new Budget({ limit: 'limits.connections', max, sharePerUser });
  const connectionBySocket = new Map<Socket, Connection>();
  /** Idle connections by address; the one idle for longest comes first. */
  const idleBySource = new Map<string, Set<Connection>>();
  server.maxConnections = max + Math.min(LOOKED_AT_MAX, Math.ceil(max * LOOKED_AT_SHARE));
  server.on('drop', () => onLimit('limits.connections'));

  // What a server calls when it stops. Node.js leaves those which have not sent a request yet, up to version 24.
  server.closeIdleConnections = () => {
    for (const idle of idleBySource.values()) for (const { socket } of idle) socket.destroySoon();
  };

  function setIdle(connection: Connection, isIdle: boolean): void {
    const { source } = connection;
    const idle = idleBySource.get(source) ?? new Set();
    if (isIdle) idleBySource.set(source, idle.add(connection));
    else if (idle.delete(connection) && idle.size === 0) idleBySource.delete(source);
  }

  function cut(connection: Connection, limit: LimitName): void {
    onLimit(limit);
    forget(connection);
    connection.socket.destroy();
  }

  function forget(connection: Connection): void {
    const { socket } = connection;
    if (!connectionBySocket.delete(socket)) return;
    setIdle(connection, false);
    budget.give(connection.source);
  }

  function idlest(newcomer: Connection): Connection {
    let most: ReadonlySet<Connection> = new Set<Connection>();
    for (const idle of idleBySource.values()) if (idle.size > most.size) most = idle;
    const [oldest = newcomer] = most;
    return oldest;
  }

  server.on('connection', (socket: Socket) => {
    const source = addressToSource(socket.remoteAddress);
    const connection = { socket, source, requests: 0 };
    connectionBySocket.set(socket, connection);
    const isOverShare = budget.isSpentBy(source);
    budget.count(source);
    // Not `once`, which takes three objects more for each socket.
    socket.on('close', () => forget(connection));
    const [ownOldest = connection] = idleBySource.get(source) ?? [];
    if (isOverShare) cut(ownOldest, 'limits.sharePerUser');
    else if (connectionBySocket.size > max) cut(idlest(connection), 'limits.connections');
    if (connectionBySocket.has(socket)) setIdle(connection, true);
  });

  server.on('request', ({ socket }, response) => {
    const connection = connectionBySocket.get(socket);
    if (connection === undefined) return;
    connection.requests++;
    setIdle(connection, false);
    response.once('close', () => {
      connection.requests--;
      if (connection.requests === 0 && connectionBySocket.has(socket)) setIdle(connection, true);
    });
  });
  // It is a WebSocket from now on, or refused at once: in neither case idle.
  server.on('upgrade', ({ socket }) => {
    const connection = connectionBySocket.get(socket);
    if (connection === undefined) return;
    connection.requests++;
    setIdle(connection, false);
  });
}
