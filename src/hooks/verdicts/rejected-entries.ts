/**
 * The entries of a verdict's `rejected`. Each is about the changes that have its table, column and
 * key, as far as it names these.
 */

import type { RejectedChange } from '../../protocol/types.ts';
import { encodeValue, pkIdentity } from '../../protocol/values.ts';
import type { WireItem } from './returned-changes.ts';

export interface Reason {
  reason: string;
  code: string;
}

/** The reason for a change if the module gives none. */
export const UNEXPLAINED: Readonly<Reason> = { reason: 'rejected', code: 'REJECTED' };

export interface Place {
  schema: string;
  table: string;
  /** `undefined` for the deletion of a row, and for DDL. */
  column: string | undefined;
  /** The key as the client sent it; `undefined` for DDL. */
  pk: readonly unknown[] | undefined;
}

export function placeOfItem(item: WireItem): Place {
  const { schema, table, type } = item;
  if (type === 'column') return { schema, table, column: item.column, pk: item.pk };
  const pk = type === 'delete' ? item.pk : undefined;
  return { schema, table, column: undefined, pk };
}

/** 0 stands for a part that is not named: it can't be a name. */
function toKey(table?: string, column?: string, pk?: string): string {
  return JSON.stringify([table ?? 0, column ?? 0, pk ?? 0]);
}

/** The key of the parts that an entry names. */
export function entryKey({ table, column, pk }: RejectedChange): string {
  return toKey(table, column, pk && pkIdentity(pk.map(encodeValue)));
}

/** Finds the first entry that matches a change, without searching all of them. */
export class SaidEntries {
  readonly #entryByKey = new Map<string, { entry: RejectedChange; index: number }>();
  readonly #heardKeys = new Set<string>();

  /** Adds the next entry. */
  add(entry: RejectedChange): void {
    const key = entryKey(entry);
    if (!this.#entryByKey.has(key))
      this.#entryByKey.set(key, { entry, index: this.#entryByKey.size });
  }

  find({ table, column, pk }: Place): Reason | undefined {
    if (this.#entryByKey.size === 0) return undefined;
    const identity = pk === undefined ? undefined : pkIdentity(pk);
    let first: { entry: RejectedChange; index: number } | undefined;
    // An entry may name each part of a place, or not.
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

  /** Whether a call of `find` has matched the entry. */
  isHeard(entry: RejectedChange): boolean {
    return this.#heardKeys.has(entryKey(entry));
  }
}
