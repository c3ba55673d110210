/**
 * What a client is told of the changes that hooks did not let through: one entry for each,
 * that names it. A hook may say little (a reason for a whole table) or nothing at all.
 */

import type { WireChange, WireChangeSet } from '../wire/schemas.ts';
import type { RejectedChange } from '../wire/types.ts';
import { decodeValue, encodeValue, pkIdentity } from '../wire/values.ts';

const UNEXPLAINED = { reason: 'rejected', code: 'REJECTED' };

interface Place {
  table: string;
  /** `undefined` for the deletion of a row, and for DDL. */
  column: string | undefined;
  /** As it came; `undefined` for DDL. */
  pk: readonly unknown[] | undefined;
}

/**
 * @param refused what was sent and is in no approved change set
 * @param said what the hooks said, in their order
 */
export function explainRefused(
  refused: readonly WireChangeSet[],
  said: readonly RejectedChange[],
): RejectedChange[] {
  const entries = new SaidEntries(said);
  const explained: RejectedChange[] = [];
  for (const { changes, schemaMigrations } of refused) {
    for (const change of changes) explained.push(entries.explain(placeOf(change)));
    for (const { table } of schemaMigrations) {
      explained.push(entries.explain({ table, column: undefined, pk: undefined }));
    }
  }
  // What speaks for no change that was refused is still something that the client was to hear.
  return explained.concat(entries.unheard());
}

function placeOf(change: WireChange): Place {
  const { table, pk } = change;
  return { table, column: change.type === 'column' ? change.column : undefined, pk };
}

/** What is left open is absent, which no name can be. */
function toKey(table?: string, column?: string, pk?: string): string {
  return JSON.stringify([table ?? 0, column ?? 0, pk ?? 0]);
}

function entryKey({ table, column, pk }: RejectedChange): string {
  return toKey(table, column, pk && pkIdentity(pk.map(encodeValue)));
}

/** The first entry that fits a change, found without looking through all of them. */
class SaidEntries {
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

  explain({ table, column, pk }: Place): RejectedChange {
    const { reason, code = UNEXPLAINED.code } = this.#find(table, column, pk) ?? UNEXPLAINED;
    return {
      reason,
      code,
      table,
      ...(column === undefined ? {} : { column }),
      ...(pk === undefined ? {} : { pk: pk.map(decodeValue) }),
    };
  }

  #find(
    table: string,
    column: string | undefined,
    pk: readonly unknown[] | undefined,
  ): RejectedChange | undefined {
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
    return first?.entry;
  }

  unheard(): RejectedChange[] {
    return this.#said.filter((entry) => !this.#heardKeys.has(entryKey(entry)));
  }
}
