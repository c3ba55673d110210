/** What hook modules may do with the coordinator that they are part of, beside reading. */

import type { Hlc } from '../clock/hlc.ts';
import type { SqlValue } from '../protocol/values.ts';
import type { TableName } from './reader.ts';
import type { ClientIdentity } from './types.ts';

/** A row of which some columns are set, or which is deleted. */
export type RowWrite = TableName & { pk: readonly SqlValue[] } & (
    | { set: Readonly<Record<string, SqlValue>> }
    | { delete: true }
  );

export interface WriteResult {
  /** Of the transaction; the newest one, where it changed nothing. */
  position: Hlc;
  /** Cells and deletions that took effect: all, but deletions of rows that were not there. */
  applied: number;
}

/** A client with a WebSocket session. */
export interface ConnectedClient {
  /** Of this connection, until it closes. */
  connectionId: string;
  client: ClientIdentity;
  /** Milliseconds since 1970. */
  connectedAtMs: number;
}

/** Before the server is set up they all throw or reject: see `HookContext.onReady`. */
export interface CoordinatorAccess {
  /**
   * Stores rows as one transaction of the coordinator's own, and brings them to every client. They win
   * over whatever is stored, whatever its clock said. No hook is asked; what the clients may see of it
   * (`onBeforeSendChanges`) is filtered as usual. The database becomes one if it was none.
   * @returns resolves when it is durable
   * @throws SyncError MESSAGE_ERROR (which says where and what) for rows that are none, or of a table
   *   that was dropped; TOO_LARGE; or what the store throws. Then nothing of it is stored.
   * @throws Error when `onBeforeApplyChanges` calls it for the database of the batch, and a module there is
   *   `serial`: the batch would be judged anew, and write again
   */
  write(databaseId: string, rows: readonly RowWrite[]): Promise<WriteResult>;
  /** Has the clients that `predicate` names start over from a snapshot. See `service.resync`. */
  resync(predicate: (client: ClientIdentity) => boolean): Promise<number>;
  /** Ends the sessions and requests of the clients that `predicate` names. See `service.revoke`. */
  revoke(predicate: (client: ClientIdentity) => boolean): number;
  /** Asks anew what the clients that `predicate` names may read. See `service.reauthorize`. */
  reauthorize(predicate?: (client: ClientIdentity) => boolean): Promise<number>;
  /** Those with a session at this server at the moment. */
  clients(): ConnectedClient[];
}
