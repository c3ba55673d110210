/** A local replica that is read and written at once, and synced through a coordinator. */

export { createSyncClient, SyncClient } from './client.ts';
export type { Token } from './connection/credentials.ts';
export { ServerError } from './connection/server-error.ts';
export type { ConnectionState } from './connection/states.ts';
export type { Environment, SocketConstructor, SocketLike, Transport } from './environment.ts';
export type { MigrationInput } from './migration.ts';
export type { SyncClientOptions, SyncStatus } from './options.ts';
export type { Outcome, OutcomeChange, Outcomes } from './outcomes.ts';
export {
  type ClientStore,
  StoreError,
  type StoreErrorCode,
  type StoreOperation,
} from './stores/store.ts';
export type { RowStatus, Table, TableRow } from './table.ts';
export type { Key, Transaction, TransactionTable } from './transaction.ts';
export type { Write, WriteState } from './write.ts';
