/** What a client is told, and what it tells of itself. */

import type { Token } from './connection/credentials.ts';
import type { ConnectionState } from './connection/states.ts';
import type { Environment, SocketConstructor, Transport } from './environment.ts';
import type { ClientStore, StoreError } from './stores/store.ts';

export interface SyncClientOptions {
  /** `wss://sync.example.com/sync/ws` */
  url: string;
  /** Default: `default`. */
  databaseId?: string;
  /** A token, or what gives one; asked before each handshake and before the credentials expire. */
  token?: Token;
  /** Where the replica is kept. */
  store: ClientStore;
  /** What carries the messages: `autoTransport()` of `./http`, for instance. Default: a WebSocket. */
  transport?: Transport;
  /** Connect at once, unless other tabs are open: then as they do. Default: true. */
  connect?: boolean;
  /** Of the replica, where it is new: 22 characters of base64url. Default: a random one. */
  siteId?: string;
  /** Where the runtime has none (Node before 22). */
  WebSocket?: SocketConstructor;
  /** What the client takes from where it runs; for tests. */
  environment?: Environment;
}

export interface SyncStatus {
  readonly connection: ConnectionState;
  /** Whether this tab has the connection of all that share the store; always, where none do. */
  readonly isLeader: boolean;
  /** Writes without an answer. */
  readonly pending: number;
  /** When the server was last known to hold nothing newer, in milliseconds since 1970. */
  readonly lastSyncedAt: number | undefined;
  /** While a snapshot is received; `total` is the server's estimate. */
  readonly bootstrap: { readonly received: number; readonly total: number } | undefined;
  /** What went wrong with the connection last; gone once it is live. */
  readonly error: Error | undefined;
  /** Why the replica can't be stored at the moment. */
  readonly storeError: StoreError | undefined;
}
