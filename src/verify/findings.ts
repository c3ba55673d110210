/** The findings of a check of a store. */

import type { KVReader } from '../storage/kv-store.ts';

/** Each kind of finding; `docs/operating.md` lists them. Codes are added, never renamed. */
export const FINDING_CODES = {
  FORMAT: 'The record that says in which format the store is written is missing or unreadable.',
  META: 'The head, the coordinator site id or the horizon is missing, unreadable, or does not fit.',
  CATALOG: 'A table, name or migration is unreadable, has the wrong key, or contradicts another.',
  MIGRATION: 'The stored DDL, the DDL in the log and the tables do not agree.',
  SITE: 'The record of a site is unreadable, or counts other held rows than there are.',
  LOG_PIN: 'A log pin is unreadable, of another site, or after the end of the log.',
  KEY: 'A key is of no known kind.',
  POSITION: 'A position in the log is malformed, of another site, or after the end of the log.',
  LOG_RECORD: 'A transaction in the log is unreadable, or its first line does not fit it.',
  LOG_COUNT: 'The head counts other transactions or changes than are in the log.',
  NOT_MERGED: 'A change in the log is newer than what is stored of its row.',
  CELL_DIFFERS: 'A cell has another value than the change in the log that made it.',
  NOT_LOGGED: 'A stored cell or deletion is not in the log.',
  ROW: 'A row is unreadable, has the wrong key, or belongs to no table.',
  ROW_ORDER: 'A cell is older than the deletion of its row, which should have removed it.',
  BELOW_FLOOR: 'A row holds what a drop of its table should have removed.',
  TOMBSTONE_LIST: 'The list of deletions and the rows do not agree.',
  STATISTICS: 'A table counts other cells than it holds.',
} as const;

export type FindingCode = keyof typeof FINDING_CODES;

export interface Finding {
  code: FindingCode;
  /** The record: its key, or what identifies it. */
  where: string;
  what: string;
}

/** The progress of a check, and what it has read. */
export interface VerifyTally {
  rows: number;
  cells: number;
  logRecords: number;
  changes: number;
  /** Steps done, and about the number of all steps, for a progress bar. */
  done: number;
  total: number;
}

export function createTally(): VerifyTally {
  return { rows: 0, cells: 0, logRecords: 0, changes: 0, done: 0, total: 0 };
}

export function finding(code: FindingCode, where: string, what: string): Finding {
  return { code, where, what };
}

/** A key for people: its kind, and the rest in hexadecimal. */
export function showKey(key: Uint8Array): string {
  const rest = Buffer.from(key.subarray(1)).toString('hex');
  const kind = String.fromCharCode(key[0] ?? 0);
  return `${/[a-z]/.test(kind) ? kind : JSON.stringify(kind)} ${rest}`;
}

/** Parses JSON in bytes; `undefined` if it is not JSON. */
export function parseBytes(bytes: Uint8Array): unknown {
  return parseText(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
}

export function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reads values, and maps them by the texts of their keys. */
export async function readByKey(
  reader: KVReader,
  keys: ReadonlyMap<string, Uint8Array>,
): Promise<Map<string, Uint8Array | undefined>> {
  if (keys.size === 0) return new Map();
  const values = await reader.getMany([...keys.values()]);
  return new Map([...keys.keys()].map((text, i) => [text, values[i]]));
}
