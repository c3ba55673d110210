/**
 * How hooks read databases: they see what is merged and stored now, without the batch about which
 * `onBeforeApplyChanges` is deciding.
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
 * Reads the database of a batch that a hook decides about, as if changes were stored that are
 * accepted but not stored yet: earlier ones of the same device, and those of `add`.
 */
export interface BatchReader {
  /** A row; `undefined` if there is none. */
  row(row: TableName & { pk: readonly SqlValue[] }): Promise<StoredRow | undefined>;
  /** All rows of a table, in no order. */
  rows(table: TableName): AsyncIterable<StoredRow>;
  /** Whether two names mean one table here, since it was renamed from one to the other. */
  sameTable(a: TableName, b: TableName): Promise<boolean>;
  /**
   * Later reads show this change set as stored. Add approved change sets of the batch, so that
   * later ones are decided about as if they had arrived alone. `judgeChanges` does this by itself.
   */
  add(changeSet: ChangeSet): void;
}

export interface LogPinOptions {
  /**
   * The name of the pin: 1 to 128 characters of A-Z a-z 0-9 _ : . - It has to be the same after a
   * restart, and unique among all readers on the same data, also in other processes.
   */
  name: string;
  /** The position up to which the log has been read. Default: its end. */
  position?: Hlc;
  /**
   * Called if the pin was missing, so that the log may have been compacted after its position: it
   * had not been renewed for `sync.logPinMaxAgeMs`, or the database was replaced. The pin is set
   * again.
   */
  onLapsed?(): void;
  /**
   * Called if there is more to read of which no hook is notified: rows that the server itself wrote
   * or, when the pin is renewed, changes of other coordinators. There may be hours between
   * renewals.
   */
  onBehind?(): void;
}

/** Keeps the log of a database after a position from being compacted, by any coordinator. */
export interface LogPin {
  /** The log after it is kept. */
  readonly position: Hlc;
  /**
   * Moves the pin: the reader does not need the log up to this position any more. Reaches the store
   * some time later.
   */
  advance(position: Hlc): void;
  /**
   * Stops renewing the pin. It stays in the store until it lapses, for a reader that goes on after
   * a restart.
   */
  close(): void;
  /** Removes the pin. */
  release(): Promise<void>;
}

/**
 * Every method opens the database, and may create it: don't pass an id that a client has merely
 * named. All methods reject until the server is set up.
 */
export interface CoordinatorReader {
  /** Resolves once the databases can be read. Don't await it in `setup`: that has to end before. */
  readonly ready: Promise<void>;
  /** A row; `undefined` if it was never written, is deleted, or the table does not exist. */
  row(
    databaseId: string,
    row: TableName & { pk: readonly SqlValue[] },
  ): Promise<StoredRow | undefined>;
  /** All rows of a table, in no order, as of the moment when the first one is requested. */
  rows(databaseId: string, table: TableName): AsyncIterable<StoredRow>;
  /** Whether two names mean one table, since it was renamed from one to the other. */
  sameTable(databaseId: string, a: TableName, b: TableName): Promise<boolean>;
  /** The newest position; its wall time is 0 while the log is empty. */
  position(databaseId: string): Promise<Hlc>;
  /** The transactions after a position, in the order of arrival, up to the newest one. */
  changes(databaseId: string, after?: Hlc): AsyncIterable<ChangeSet>;
  /**
   * Pins the log. Without a pin, `changes` may lack changes that later ones have replaced. The pin
   * is in the store when this resolves, and is renewed until it is closed.
   */
  pinLog(databaseId: string, options: LogPinOptions): Promise<LogPin>;
}

/** A reader without a database: it is empty, and ignores what is added. */
export function readNothing(): BatchReader {
  return {
    row: async () => undefined,
    async *rows() {},
    sameTable: async () => false,
    add: () => undefined,
  };
}
