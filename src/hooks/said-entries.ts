/**
 * The entries of a verdict's `rejected`, each of which speaks for the changes that have its table,
 * column and key, as far as it names them.
 */

import type { RejectedChange } from '../protocol/types.ts';
import { encodeValue, pkIdentity } from '../protocol/values.ts';
import type { WireItem } from './given-back.ts';

export interface Reason {
  reason: string;
  code: string;
}

/** What is said of a change where a module says no more. */
export const UNEXPLAINED: Readonly<Reason> = { reason: 'rejected', code: 'REJECTED' };

export interface Place {
  table: string;
  /** `undefined` for the deletion of a row, and for DDL. */
  column: string | undefined;
  /** As it came; `undefined` for DDL. */
  pk: readonly unknown[] | undefined;
}

export function placeOfItem(item: WireItem): Place {
  const { table, type } = item;
  if (type === 'column') return { table, column: item.column, pk: item.pk };
  return { table, column: undefined, pk: type === 'delete' ? item.pk : undefined };
}

/** What is left open is absent, which no name can be. */
function toKey(table?: string, column?: string, pk?: string): string {
  return JSON.stringify([table ?? 0, column ?? 0, pk ?? 0]);
}

/** Of what an entry names. */
export function entryKey({ table, column, pk }: RejectedChange): string {
  return toKey(table, column, pk && pkIdentity(pk.map(encodeValue)));
}

/** The first entry that fits a change, found without looking through all of them. */
export class SaidEntries {
  readonly #entryByKey = new Map<string, { entry: RejectedChange; index: number }>();
  readonly #heardKeys = new Set<string>();
  readonly #said: readonly RejectedChange[];

  constructor(said: readonly RejectedChange[]) {
    this.#said = said;
    for (const [index, entry] of said.entries()) {
      const key = entryKey(entry);
      if (!this.#entryByKey.has(key)) this.#entryByKey.set(key, { entry, index });
    }
  }

  find({ table, column, pk }: Place): Reason | undefined {
    if (this.#said.length === 0) return undefined;
    const identity = pk === undefined ? undefined : pkIdentity(pk);
    let first: { entry: RejectedChange; index: number } | undefined;
    // Each part of a place may be named or left open.
    for (const t of [table, undefined]) {
      for (const c of column === undefined ? [undefined] : [column, undefined]) {
        for (const p of identity === undefined ? [undefined] : [identity, undefined]) {
          const key = toKey(t, c, p);
          const found = this.#entryByKey.get(key);
          if (found === undefined) continue;
          this.#heardKeys.add(key);
          if (first === undefined || found.index < first.index) first = found;
        }
      }
    }
    if (first === undefined) return undefined;
    const { reason, code = UNEXPLAINED.code } = first.entry;
    return { reason, code };
  }

  /** Those that spoke for nothing that was looked for. */
  unheard(): RejectedChange[] {
    return this.#said.filter((entry) => !this.#heardKeys.has(entryKey(entry)));
  }
}
