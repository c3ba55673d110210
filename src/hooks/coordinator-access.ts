/** What hook modules can do with their coordinator, besides reading. */

import type { Hlc } from '../clock/hlc.ts';
import type { ClientSoftware } from '../protocol/schemas.ts';
import type { SqlValue } from '../protocol/values.ts';
import type { TableName } from './reader.ts';
import type { ClientIdentity } from './types.ts';

/** Sets columns of a row, or deletes it. */
export type RowWrite = TableName & { pk: readonly SqlValue[] } & (
    | { set: Readonly<Record<string, SqlValue>> }
    | { delete: true }
  );

export interface WriteResult {
  /** The position of the transaction, or the newest position if nothing was changed. */
  position: Hlc;
  /** The number of cells and deletions that took effect: all except deletions of missing rows. */
  applied: number;
}

/** A client with a WebSocket session. */
export interface ConnectedClient {
  /** The id of this connection, until it closes. */
  connectionId: string;
  client: ClientIdentity;
  /** Milliseconds since 1970. */
  connectedAtMs: number;
  /** What the client says it is, if it says anything. It is not checked. */
  software?: ClientSoftware;
}

/** All methods throw or reject until the server is set up: see `HookContext.onReady`. */
export interface CoordinatorAccess {
  /**
   * Stores rows as one transaction of the coordinator's own, and sends them to all clients. They
   * win over all that is stored, whatever its HLCs are. No hook decides about them, but
   * `onBeforeSendChanges` filters what clients see as usual. Creates the database if it does not
   * exist.
   * @returns resolves when the transaction is durable
   * @throws SyncError MESSAGE_ERROR (which says what is wrong, and where) for invalid rows, or a
   *   dropped table; TOO_LARGE; or what the store throws. Then nothing is stored.
   * @throws Error if `onBeforeApplyChanges` calls it for the database of the batch, and a module is
   *   `serial` there: the batch would be decided about again, and write again
   */
  write(databaseId: string, rows: readonly RowWrite[]): Promise<WriteResult>;
  /** Makes clients that match `predicate` start over from a snapshot. See `service.resync`. */
  resync(predicate: (client: ClientIdentity) => boolean): Promise<number>;
  /** Ends the sessions and requests of clients that match `predicate`. See `service.revoke`. */
  revoke(predicate: (client: ClientIdentity) => boolean): number;
  /** Decides again what clients that match `predicate` may read. See `service.reauthorize`. */
  reauthorize(predicate?: (client: ClientIdentity) => boolean): Promise<number>;
  /** The clients that have a session at this server now. */
  clients(): ConnectedClient[];
}
