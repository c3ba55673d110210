/**
 * What hooks may read of the databases: what is merged and stored at the moment of asking.
 * A batch whose `onBeforeApplyChanges` is being asked is not in it.
 */

import type { Hlc } from '../clock/hlc.ts';
import type { ChangeSet } from '../wire/types.ts';
import type { SqlValue } from '../wire/values.ts';

export interface TableName {
  /** Default: `main`. */
  schema?: string;
  table: string;
}

export interface StoredRow {
  pk: SqlValue[];
  /** By column; without a prototype, so that any name is safe. */
  values: Readonly<Record<string, SqlValue>>;
}

/**
 * How far somebody has read a database's log; `undefined` for a database that they don't read.
 * What can't be told (a throw) counts as nothing.
 */
export type LogHold = (databaseId: string) => Promise<Hlc | undefined> | Hlc | undefined;

/**
 * Every method but the last opens the database, which becomes one if it was none: don't ask for one that a
 * client has merely named. Before the server is set up they all reject.
 */
export interface CoordinatorReader {
  /** Resolves when the databases can be read. Don't wait for it in `setup`: it comes after that. */
  readonly ready: Promise<void>;
  /** A row; `undefined` where none is: never written, deleted, or in no table of that name. */
  row(
    databaseId: string,
    row: TableName & { pk: readonly SqlValue[] },
  ): Promise<StoredRow | undefined>;
  /** All rows of a table, in no order, as they were when the first one was asked for. */
  rows(databaseId: string, table: TableName): AsyncIterable<StoredRow>;
  /** The newest position; of wall time 0 while nothing has arrived. */
  position(databaseId: string): Promise<Hlc>;
  /** The transactions after a position, in the order of their arrival, up to the newest one. */
  changes(databaseId: string, after?: Hlc): AsyncIterable<ChangeSet>;
  /**
   * Without it, `changes` leaves out what later changes had replaced by the time it is read. Keeps
   * the log whole after what `hold` says has been read; asked each time before a log is shortened.
   * @returns ends it
   */
  holdLog(hold: LogHold): () => void;
}
