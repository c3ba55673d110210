/**
 * A server of a few lines on a real socket, which answers as a test says: for what a coordinator does
 * only when something is wrong with it.
 */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { TestOwner } from '../../../../src/testing/index.ts';
import type { ApplyChangesMessage, ChangeSet, ClientMessage } from '../../src/protocol/messages.ts';

const SITE_ID = 'AAAAAAAAAAAAAAAAAAAAAQ';
export const POSITION = 'AAABi8/laAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAA';

export class ScriptedServer {
  readonly url: string;
  /** All that came, in order, over all connections. */
  readonly received: ClientMessage[] = [];
  /** What was taken, by transaction; sending it again changes nothing. */
  readonly stored = new Map<string, ChangeSet>();
  /** Answers in place of what follows; `true` if it has. */
  script: (message: ClientMessage, socket: WebSocket) => boolean = () => false;

  private constructor(url: string) {
    this.url = url;
  }

  static async start(owner: TestOwner): Promise<ScriptedServer> {
    const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(sockets, 'listening');
    const { port } = sockets.address() as AddressInfo;
    const server = new ScriptedServer(`ws://127.0.0.1:${port}/sync/ws`);
    sockets.on('connection', (socket) => {
      socket.on('message', (data) => server.#take(JSON.parse(String(data)), socket));
    });
    owner.after(() => {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
    });
    return server;
  }

  countOf(type: ClientMessage['type']): number {
    return this.received.filter((message) => message.type === type).length;
  }

  get batches(): ApplyChangesMessage[] {
    return this.received.filter((message) => message.type === 'apply_changes');
  }

  #take(message: ClientMessage, socket: WebSocket): void {
    this.received.push(message);
    if (this.script(message, socket)) return;
    const requestId = 'requestId' in message ? message.requestId : undefined;
    for (const answer of this.#answersTo(message)) {
      socket.send(JSON.stringify({ ...answer, requestId }));
    }
  }

  #answersTo(message: ClientMessage): object[] {
    switch (message.type) {
      case 'handshake':
        return [{ type: 'handshake_ack', serverSiteId: SITE_ID, serverTimeMs: Date.now() }];
      case 'get_changes':
        return [{ type: 'changes', changeSets: [], hasMore: false }];
      case 'apply_changes': {
        for (const set of message.changes) this.stored.set(set.transactionId, set);
        const applied = message.changes.flatMap(({ changes }) => changes).length;
        const counts = { applied, skipped: 0, conflicts: 0, transactions: message.changes.length };
        return [{ type: 'apply_result', ...counts }];
      }
      case 'authenticate':
        return [{ type: 'authenticated' }];
      case 'ping':
        return [{ type: 'pong' }];
      default:
        return SNAPSHOT.map((chunk): object => ({ type: 'snapshot_chunk', chunk })).concat({
          type: 'snapshot_complete',
        });
    }
  }
}

const header = {
  type: 'header',
  siteId: SITE_ID,
  hlc: POSITION,
  snapshotFormat: 1,
  tableCount: 0,
  migrationCount: 0,
  snapshotId: 'snapshot',
};
const footer = {
  type: 'footer',
  snapshotId: 'snapshot',
  totalTables: 0,
  totalEntries: 0,
  totalMigrations: 0,
};

/** Of a database without anything. */
export const SNAPSHOT = [header, footer];
