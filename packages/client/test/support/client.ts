/** Clients for tests, of a real server or of none. */

import WebSocket from 'ws';
import type { TestOwner } from '../../../../src/testing/index.ts';
import {
  createEnvironment,
  type Environment,
  type SocketConstructor,
} from '../../src/environment.ts';
import { createSyncClient, type SyncClient, type SyncClientOptions } from '../../src/index.ts';
import { MemoryStore, memoryStore } from '../../src/stores/memory.ts';

/** Node's own from 22 on is used as well; `ws` is what Node 20 has. */
export const Socket: SocketConstructor = WebSocket;

/** Waits only for what it is told to wait for: pauses are random times, and this one draws none. */
export function impatient(): Environment {
  return { ...createEnvironment({ WebSocket: Socket }), random: () => 0 };
}

export async function startClient(
  owner: TestOwner,
  options: Partial<SyncClientOptions> & { url: string },
): Promise<SyncClient> {
  const client = createSyncClient({ store: memoryStore(), WebSocket: Socket, ...options });
  owner.after(() => client.close());
  await client.ready;
  return client;
}

/** Resolves once the client's status is as wanted. */
export function until(
  client: SyncClient,
  isWanted: (status: SyncClient['status']) => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!isWanted(client.status)) return;
      end();
      resolve();
    };
    const end = client.subscribeStatus(look);
    look();
  });
}

/** Resolves once it is live and nothing waits for an answer. */
export function synced(client: SyncClient): Promise<void> {
  return until(client, ({ connection, pending }) => connection === 'live' && pending === 0);
}

/** Resolves once a table is as wanted. */
export function untilTable(
  client: SyncClient,
  table: string,
  isWanted: (rows: readonly { pk: readonly unknown[]; row: object }[]) => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!isWanted(client.table(table).all())) return;
      end();
      resolve();
    };
    const end = client.table(table).subscribe(look);
    look();
  });
}

/** Outlives the clients that close it, as a file does. */
export class OutlivingStore extends MemoryStore {
  override async close(): Promise<void> {}
}

/** Collects what nobody catches while the test lasts, which its runner would take for a fault of it. */
export function uncaught(owner: TestOwner): unknown[] {
  const thrown: unknown[] = [];
  const before = process.rawListeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (error) => thrown.push(error));
  owner.after(() => {
    process.removeAllListeners('unhandledRejection');
    for (const listener of before) process.on('unhandledRejection', listener as () => void);
  });
  return thrown;
}
