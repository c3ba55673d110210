/** The data of the protocol as hooks and embedders see it: bytes as bytes, bigints as bigints. */

import { decodeHlc, encodeHlc, type Hlc } from '../clock/hlc.ts';
import { type SiteId, siteIdToText, textToSiteId } from '../clock/site-id.ts';
import type { MigrationType } from './constants.ts';
import type { WireChange, WireChangeSet, WireMigration } from './schemas.ts';
import type {
  WireConflictingCell,
  WireElsewhereChange,
  WireOvertakenChange,
  WireRejectedChange,
} from './server-messages.ts';
import { decodeValue, encodeValue, type SqlValue } from './values.ts';

export interface ColumnChange {
  type: 'column';
  schema: string;
  table: string;
  pk: SqlValue[];
  column: string;
  value: SqlValue;
  hlc: Hlc;
  /** With `priorHlc`, or not at all. */
  priorValue?: SqlValue;
  priorHlc?: Hlc;
}

export interface RowDeletion {
  type: 'delete';
  schema: string;
  table: string;
  pk: SqlValue[];
  hlc: Hlc;
  priorRow?: SqlValue[];
}

export type Change = ColumnChange | RowDeletion;

export interface SchemaMigration {
  type: MigrationType;
  schema: string;
  /** The table or, for `add_index` and `drop_index`, the index. */
  table: string;
  /** The old name, for `rename_table`. */
  fromTable?: string;
  ddl: string;
  hlc: Hlc;
  schemaVersion: number;
}

/** One transaction of one site: applied, stored and delivered as a whole. */
export interface ChangeSet {
  siteId: SiteId;
  transactionId: string;
  /** From a client, its newest HLC; from the coordinator, the transaction's position. */
  hlc: Hlc;
  changes: Change[];
  schemaMigrations: SchemaMigration[];
}

/** A change that a hook rejected, as its sender sees it. */
export interface RejectedChange {
  /** For people. */
  reason: string;
  /** For programs. */
  code?: string;
  /** Set by the coordinator: a hook's entry counts for its table in every schema. */
  schema?: string;
  table?: string;
  column?: string;
  pk?: SqlValue[];
  /** Set by the coordinator: the transaction of the change. */
  transactionId?: string;
}

/** A cell of a batch that lost against a newer value. */
export interface ConflictingCell {
  schema: string;
  table: string;
  column: string;
  pk: SqlValue[];
  /** Of the change that has won. */
  hlc: Hlc;
  /** The value that has won. Absent if it is too long to be told here. */
  value?: SqlValue;
}

/** A change of a batch that has lost. */
export interface OvertakenChange {
  /** Of the change. */
  hlc: Hlc;
  /** Of what has won: a newer edit, the deletion of its row, or what has dropped or replaced its table. */
  by: Hlc;
}

/** A change of a batch that is not stored under the name of a table that it gives. */
export interface ElsewhereChange {
  /** Of the change. */
  hlc: Hlc;
  /** The name that its table has now. Missing while nobody is told of what is in the table. */
  table?: string;
}

/** The result of a batch. */
export interface ApplyResult {
  /** Changes and migrations that took effect. */
  applied: number;
  /** Changes that were stored already, or whose row has a newer tombstone. */
  skipped: number;
  /** Changes that lost against a newer value of the same cell. */
  conflicts: number;
  /** Change sets in the batch. */
  transactions: number;
  rejected?: RejectedChange[];
  /**
   * The cells that `conflicts` counts, as far as there is room for them. A change of such a cell has
   * lost if its HLC is less than that of the entry.
   */
  conflicting?: ConflictingCell[];
  /**
   * The changes that `skipped` counts because their row was deleted, or their table dropped. For the
   * client: hooks have `outcomes`.
   */
  overtaken?: OvertakenChange[];
  /** The changes that `conflicts` counts and for whose cells `conflicting` has no room. */
  beaten?: OvertakenChange[];
  /**
   * Of the migrations that `skipped` counts, those that had been stored before, and that others are
   * sent. Missing if it counts none. For the client, like `overtaken`.
   */
  standing?: Hlc[];
  /**
   * The changes whose name means another table: it was renamed, or dropped and not made again. For the
   * client, like `overtaken`.
   */
  elsewhere?: ElsewhereChange[];
}

export function decodeChange(change: WireChange): Change {
  const { schema, table } = change;
  const pk = change.pk.map(decodeValue);
  const hlc = decodeHlc(change.hlc);
  if (change.type === 'delete') {
    const { priorRow } = change;
    const prior = priorRow === undefined ? {} : { priorRow: priorRow.map(decodeValue) };
    return { type: 'delete', schema, table, pk, hlc, ...prior };
  }
  const { column, priorHlc } = change;
  const prior =
    priorHlc === undefined
      ? {}
      : { priorValue: decodeValue(change.priorValue), priorHlc: decodeHlc(priorHlc) };
  return {
    type: 'column',
    schema,
    table,
    pk,
    column,
    value: decodeValue(change.value),
    hlc,
    ...prior,
  };
}

export function encodeChange(change: Change): WireChange {
  const { schema, table } = change;
  const pk = change.pk.map(encodeValue);
  const hlc = encodeHlc(change.hlc);
  if (change.type === 'delete') {
    const { priorRow } = change;
    const prior = priorRow === undefined ? {} : { priorRow: priorRow.map(encodeValue) };
    return { type: 'delete', schema, table, pk, hlc, ...prior };
  }
  const { column, priorHlc, priorValue = null } = change;
  const prior =
    priorHlc === undefined
      ? {}
      : { priorValue: encodeValue(priorValue), priorHlc: encodeHlc(priorHlc) };
  return {
    type: 'column',
    schema,
    table,
    pk,
    column,
    value: encodeValue(change.value),
    hlc,
    ...prior,
  };
}

/** Copies only the protocol's fields, in a fixed order. */
function copyMigration<H>(migration: Omit<SchemaMigration, 'hlc'>, hlc: H) {
  const { type, schema, table, fromTable, ddl, schemaVersion } = migration;
  const from = fromTable === undefined ? {} : { fromTable };
  return { type, schema, table, ...from, ddl, hlc, schemaVersion };
}

export function decodeMigration(migration: WireMigration): SchemaMigration {
  return copyMigration(migration, decodeHlc(migration.hlc));
}

export function encodeMigration(migration: SchemaMigration): WireMigration {
  return copyMigration(migration, encodeHlc(migration.hlc));
}

export function decodeChangeSet(changeSet: WireChangeSet): ChangeSet {
  return {
    siteId: textToSiteId(changeSet.siteId),
    transactionId: changeSet.transactionId,
    hlc: decodeHlc(changeSet.hlc),
    changes: changeSet.changes.map(decodeChange),
    schemaMigrations: changeSet.schemaMigrations.map(decodeMigration),
  };
}

export function encodeChangeSet(changeSet: ChangeSet): WireChangeSet {
  return {
    siteId: siteIdToText(changeSet.siteId),
    transactionId: changeSet.transactionId,
    hlc: encodeHlc(changeSet.hlc),
    changes: changeSet.changes.map(encodeChange),
    schemaMigrations: changeSet.schemaMigrations.map(encodeMigration),
  };
}

/** What an apply result names, on the wire: encoded one by one, as it is read. */
export function encodeNamed(result: ApplyResult) {
  const { rejected, conflicting, overtaken, beaten, standing, elsewhere } = result;
  return {
    rejected: rejected && encoded(rejected, encodeRejected),
    conflicting: conflicting && encoded(conflicting, encodeConflicting),
    overtaken: overtaken && encoded(overtaken, encodeLost),
    beaten: beaten && encoded(beaten, encodeLost),
    standing: standing && encoded(standing, encodeHlc),
    elsewhere: elsewhere && encoded(elsewhere, encodeElsewhere),
  };
}

function* encoded<Item, Wire>(
  items: readonly Item[],
  encode: (item: Item) => Wire,
): Generator<Wire, void> {
  for (const item of items) yield encode(item);
}

function encodeLost({ hlc, by }: OvertakenChange): WireOvertakenChange {
  return { hlc: encodeHlc(hlc), by: encodeHlc(by) };
}

function encodeElsewhere({ hlc, ...table }: ElsewhereChange): WireElsewhereChange {
  return { hlc: encodeHlc(hlc), ...table };
}

function encodeRejected({ pk, ...rejection }: RejectedChange): WireRejectedChange {
  return { ...rejection, ...(pk && { pk: pk.map(encodeValue) }) };
}

function encodeConflicting({ pk, hlc, value, ...names }: ConflictingCell): WireConflictingCell {
  return {
    ...names,
    pk: pk.map(encodeValue),
    hlc: encodeHlc(hlc),
    ...(value !== undefined && { value: encodeValue(value) }),
  };
}
