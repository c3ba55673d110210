/**
 * What a replica is made of, as it is stored: one entry a row, an unanswered write, an outcome, and
 * so on. All that the client knows is in these, so whoever has carried out the same operations knows
 * the same: a client that was started anew, or another tab.
 *
 *     meta                                   Meta
 *     row/<generation>/<schema, table>/<pk>  StoredRow; `null` for one that a page has, and is gone
 *     page/<generation>/<key of a row>       StoredRow[] (see `pages.ts`)
 *     out/<hlc>                              ChangeSet: a write without an answer
 *     fate/<hlc>                             StoredOutcome
 *     ddl/<generation>/<slot>                Migration: one that has been received, or taken by the server
 *     lead                                   text: the term of the tab that leads
 *
 * A generation is what one snapshot began. The next one is filled beside it, and takes its place.
 */

import type { HlcText } from '../../../../src/clock/hlc.ts';
import { pkIdentity } from '../../../../src/protocol/values.ts';
import type { Change, ChangeSet, Checkpoint } from '../protocol/messages.ts';
import type { StoredValue, StoreOperation } from '../stores/store.ts';

export const FORMAT = 2;

export interface Meta {
  format: number;
  databaseId: string;
  siteId: string;
  /** The newest HLC that the server has told or taken. */
  seen?: HlcText;
  /** That of the rows which are shown. */
  generation: number;
  /** The position up to which all is held. */
  position?: HlcText;
  /** Of a snapshot that is being received. */
  snapshot?: StoredSnapshot;
  /** Milliseconds since 1970. */
  lastSyncedAt?: number;
  /** The server may hold something of this site's that it tells nobody until a table is made again. */
  isHeld?: boolean;
}

export interface StoredSnapshot {
  generation: number;
  checkpoint: Checkpoint;
  /** What the server expects, by its counters. */
  estimatedEntries: number;
}

export type Cell = readonly [hlc: HlcText, value: unknown];

export interface StoredRow {
  schema: string;
  table: string;
  pk: unknown[];
  cells: Readonly<Record<string, Cell>>;
  tombstone?: HlcText;
}

export type OutcomeState = 'rejected' | 'superseded';

/** What became of one change of a write that was not simply taken. */
export interface StoredOutcomeChange {
  change: Change;
  /** What won, where the server said so or the replica has it. A deletion has no value. */
  winner?: { hlc: HlcText; value?: unknown };
  code?: string;
  reason?: string;
}

export interface StoredOutcome {
  state: OutcomeState;
  /** When it was answered, in milliseconds since 1970. */
  at: number;
  code?: string;
  reason: string;
  changeSet: ChangeSet;
  /** Those of its changes that were not taken. */
  changes: StoredOutcomeChange[];
}

export const META = 'meta';
export const LEAD = 'lead';
export const OUT = 'out/';
export const FATE = 'fate/';
export const DDL = 'ddl/';
export const ROW = 'row/';
export const PAGE = 'page/';

/** Has an entry hold a value; without one, takes it away. */
export function entryOf(key: string, value?: StoredValue): StoreOperation {
  return value === undefined ? { type: 'delete', key } : { type: 'put', key, value };
}

/** The last one: changes of one table mostly come together. */
let last = { schema: '', table: '', key: '["",""]' };

export function tableKeyOf(schema: string, table: string): string {
  if (last.schema !== schema || last.table !== table) {
    last = { schema, table, key: JSON.stringify([schema, table]) };
  }
  return last.key;
}

export function toTable(tableKey: string): { schema: string; table: string } {
  const [schema, table]: [string, string] = JSON.parse(tableKey);
  return { schema, table };
}

/** The last one: the cells of a row mostly come together. */
let lastRow = { tableKey: '', member: undefined as unknown, key: '' };

export function rowKeyOf({ schema, table, pk }: { schema: string; table: string; pk: unknown[] }) {
  const tableKey = tableKeyOf(schema, table);
  // NaN is never that of the last one.
  const member = pk.length === 1 ? pk[0] : Number.NaN;
  if (member !== lastRow.member || tableKey !== lastRow.tableKey) {
    lastRow = { tableKey, member, key: `${tableKey}/${pkIdentity(pk)}` };
  }
  return lastRow.key;
}

/** @param kind `ROW`, `PAGE` or `DDL` */
export function generationPrefix(generation: number, kind = ROW): string {
  return `${kind}${generation}/`;
}

/** @param key of a row, a page, DDL, or what the keys of a generation begin with */
export function splitKey(key: string): { generation: number; rest: string } {
  const start = key.indexOf('/') + 1;
  const end = key.indexOf('/', start);
  return { generation: Number(key.slice(start, end)), rest: key.slice(end + 1) };
}
