/**
 * Where a name led before: a list in the order of HLCs. It may be long, and each migration of the
 * name adds to it, so it is searched by halves, and never sorted anew.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { NameRecord, PastLead } from '../records/table-record.ts';

const NEVER: readonly PastLead[] = [];

/** The time at an HLC: the first that ends after it; `undefined` if that has not ended. */
export function pastAt({ past = NEVER }: NameRecord, hlc: HlcText): PastLead | undefined {
  return past[firstAfter(past, hlc)];
}

/** The last time that has ended by an HLC; `undefined` if none has. */
export function pastUpTo({ past = NEVER }: NameRecord, hlc: HlcText): PastLead | undefined {
  return past[firstAfter(past, hlc) - 1];
}

/** With one more. Of neighbours that lead to the same table only the last is kept. */
export function withPast(name: NameRecord, lead: PastLead): NameRecord {
  const { past = NEVER } = name;
  const at = firstAfter(past, lead[0]);
  if (past[at]?.[1] === lead[1]) return name;
  const replaced = past[at - 1]?.[1] === lead[1] ? 1 : 0;
  return { ...name, past: past.toSpliced(at - replaced, replaced, lead) };
}

/** In order. Of neighbours that lead to the same table only the last is kept. */
export function joinedPast(past: readonly PastLead[]): PastLead[] {
  const ordered = [...past].sort(([a], [b]) => compareHlc(a, b));
  return ordered.filter(([, id], i) => ordered[i + 1]?.[1] !== id);
}

/** The tables to which a name leads, or led, and did not before. */
export function* newLeads(before: NameRecord | undefined, after: NameRecord): Generator<number> {
  if (before?.id !== after.id) yield after.id;
  const [old, past] = [before?.past ?? NEVER, after.past ?? NEVER];
  let from = 0;
  while (from < past.length && past[from] === old[from]) from++;
  let same = 0;
  while (same < past.length - from && past.at(-1 - same) === old.at(-1 - same)) same++;
  for (let i = from; i < past.length - same; i++) yield past[i]?.[1] ?? 0;
}

function firstAfter(past: readonly PastLead[], hlc: HlcText): number {
  let [from, to] = [0, past.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const [until] = past[middle] as PastLead;
    if (compareHlc(hlc, until) < 0) to = middle;
    else from = middle + 1;
  }
  return from;
}
