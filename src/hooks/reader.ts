/**
 * What hooks may read of the databases: what is merged and stored at the moment of asking.
 * A batch whose `onBeforeApplyChanges` is being asked is not in it.
 */

import type { Hlc } from '../clock/hlc.ts';
import type { ChangeSet } from '../protocol/types.ts';
import type { SqlValue } from '../protocol/values.ts';

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
 * The database of a batch that is being judged, with what is accepted already and yet to be stored: what the
 * same device has sent before, and what has been added here.
 */
export interface BatchReader {
  /** A row; `undefined` where none is. */
  row(row: TableName & { pk: readonly SqlValue[] }): Promise<StoredRow | undefined>;
  /** All rows of a table, in no order. */
  rows(table: TableName): AsyncIterable<StoredRow>;
  /** Whether two names lead to one table here, since it was renamed from one to the other. */
  sameTable(a: TableName, b: TableName): Promise<boolean>;
  /**
   * What is read from now on is as if this were stored: for change sets of the batch that have been approved, so
   * that those behind them are judged as if they had come alone. `judgeChanges` does it by itself.
   */
  add(changeSet: ChangeSet): void;
}

export interface LogPinOptions {
  /**
   * Whose pin it is: 1 to 128 characters of A-Z a-z 0-9 _ : . - It has to be the same after a
   * restart, and no other reader may have it, in this process or any other on the same data.
   */
  name: string;
  /** Up to where the log has been read. Default: its end, so that all which comes then is kept. */
  position?: Hlc;
  /**
   * The pin was not there any more, so that the log may have been shortened after its position:
   * nobody had renewed it for `sync.logPinMaxAgeMs`, or the database was replaced. It is there again.
   */
  onLapsed?(): void;
  /**
   * There is more to read that no hook is told of: rows that the server itself wrote; or, when the pin is
   * renewed, changes of other coordinators. Some hours may lie between two renewals.
   */
  onBehind?(): void;
}

/** Keeps the log of a database whole after a position, whichever coordinator shortens it. */
export interface LogPin {
  /** What comes after it stays in the log. */
  readonly position: Hlc;
  /**
   * What lies before is not needed any more: the reader has it on its disk, or is done with it. Reaches
   * the store some time later.
   */
  advance(position: Hlc): void;
  /**
   * It is not renewed any more, and stays in the store until it lapses: for a reader that goes on after
   * a restart.
   */
  close(): void;
  /** Ends it. */
  release(): Promise<void>;
}

/**
 * Every method opens the database, which becomes one if it was none: don't ask for one that a
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
  /** Whether two names lead to one table, since it was renamed from one to the other. */
  sameTable(databaseId: string, a: TableName, b: TableName): Promise<boolean>;
  /** The newest position; of wall time 0 while nothing has arrived. */
  position(databaseId: string): Promise<Hlc>;
  /** The transactions after a position, in the order of their arrival, up to the newest one. */
  changes(databaseId: string, after?: Hlc): AsyncIterable<ChangeSet>;
  /**
   * Without it, `changes` leaves out what later changes had replaced by the time it is read. The pin
   * is in the store when this resolves, and is renewed until it is closed.
   */
  pinLog(databaseId: string, options: LogPinOptions): Promise<LogPin>;
}

/** Where no database is: all that is added goes nowhere. */
export function readNothing(): BatchReader {
  return {
    row: async () => undefined,
    async *rows() {},
    sameTable: async () => false,
    add: () => undefined,
  };
}
