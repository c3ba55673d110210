/**
 * What a client is told of the changes that were not let through, by hooks or since they were not its
 * own: one entry for each, that names it. A hook may say little (a reason for a whole table) or
 * nothing at all.
 */

import type { BatchItem } from '../engine/merge/foreign-authors.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import type { RejectedChange } from '../protocol/types.ts';
import { decodeValue, encodeValue, pkIdentity } from '../protocol/values.ts';

const UNEXPLAINED = { reason: 'rejected', code: 'REJECTED' };
const FOREIGN = {
  reason: 'another device has dated this change, and has to send it itself (sync.foreignAuthors)',
  code: 'FOREIGN_AUTHOR',
};

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
    for (const item of [...changes, ...schemaMigrations]) {
      explained.push(entries.explain(placeOf(item)));
    }
  }
  // What speaks for no change that was refused is still something that the client was to hear.
  return explained.concat(entries.unheard());
}

/** @param items what another site than the sender has dated */
export function explainForeign(items: readonly BatchItem[]): RejectedChange[] {
  return items.map((item) => toRejected(placeOf(item), FOREIGN));
}

function placeOf(item: BatchItem): Place {
  const { table, type } = item;
  if (type === 'column') return { table, column: item.column, pk: item.pk };
  return { table, column: undefined, pk: type === 'delete' ? item.pk : undefined };
}

function toRejected(
  { table, column, pk }: Place,
  { reason, code }: { reason: string; code: string },
): RejectedChange {
  return {
    reason,
    code,
    table,
    ...(column === undefined ? {} : { column }),
    ...(pk === undefined ? {} : { pk: pk.map(decodeValue) }),
  };
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

  explain(place: Place): RejectedChange {
    const { table, column, pk } = place;
    const { reason, code = UNEXPLAINED.code } = this.#find(table, column, pk) ?? UNEXPLAINED;
    return toRejected(place, { reason, code });
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
