/** Tells a client which cells of its batch have lost, and what has won there, if it may read that. */

import { decodeHlc } from '../clock/hlc.ts';
import type { Unapplied } from '../engine/merge/batch.ts';
import type { BatchItem } from '../engine/merge/foreign-authors.ts';
import type { CallOrigin } from '../hooks/types.ts';
import type { WireColumnChange } from '../protocol/schemas.ts';
import type { ApplyResult, ConflictingCell } from '../protocol/types.ts';
import { decodeValue } from '../protocol/values.ts';
import type { ReadRight, Stamp } from './rights.ts';

export function withConflicting(
  result: ApplyResult,
  conflicting: readonly ConflictingCell[],
): ApplyResult {
  return conflicting.length === 0 ? result : { ...result, conflicting: [...conflicting] };
}

/** The cells that are named in an answer which nobody filters. */
export function conflictingOf(unapplied: readonly Unapplied[]): ConflictingCell[] {
  return unapplied.flatMap(({ item, by, lost }) => {
    if (lost === undefined || by === undefined || item.type !== 'column') return [];
    const { schema, table, column } = item;
    const pk = item.pk.map(decodeValue);
    const { value: json } = lost;
    const value = json === undefined ? {} : { value: decodeValue(JSON.parse(json)) };
    return { schema, table, column, pk, hlc: decodeHlc(by), ...value };
  });
}

/** The change that has won, as far as it is known; for a read filter. */
export function winnerOf({ item, by, lost }: Unapplied): WireColumnChange | undefined {
  if (lost?.value === undefined || by === undefined || item.type !== 'column') return undefined;
  const { type, schema, table, pk, column } = item;
  return { type, schema, table, pk, column, value: JSON.parse(lost.value), hlc: by };
}

/** What the read filter of a client leaves of what took no effect. */
export interface Visible {
  /** Items that are hidden, or have lost against something that is. */
  hidden: ReadonlySet<BatchItem>;
  /** Whether there is a filter. Then a winner that it has not seen is not told. */
  isFiltered: boolean;
}

/** How a client reads what has won. */
export interface Reading {
  right: ReadRight;
  /** From before the batch was merged. */
  stamp: Stamp;
  signal?: AbortSignal | undefined;
  origin?: CallOrigin | undefined;
}

/**
 * The cells that are named in the answer to a client: none if it may not read, or if what it may
 * read has changed since it sent the batch.
 * @param reading without it nothing is told
 * @param see asks the filter
 */
export async function conflictingFor(
  unapplied: readonly Unapplied[],
  reading: Reading | undefined,
  see: () => Promise<Visible>,
): Promise<Visible & { conflicting: ConflictingCell[] }> {
  const visible = await see();
  const { hidden, isFiltered } = visible;
  const told = unapplied.filter(({ item, lost }) => {
    if (lost === undefined || hidden.has(item)) return false;
    return !isFiltered || lost.value !== undefined;
  });
  const nothing = { ...visible, conflicting: [] };
  if (told.length === 0 || reading === undefined) return nothing;
  const { right, stamp, signal, origin } = reading;
  try {
    // Given answers are not logged: the client has not asked to read.
    await right.confirm(signal, origin, []);
  } catch {
    return nothing;
  }
  return right.isFor(stamp) ? { ...visible, conflicting: conflictingOf(told) } : nothing;
}

/** For a client that does not read what it is sent: the values would wait in memory. */
export function withoutWinningValues(result: ApplyResult): ApplyResult {
  const { conflicting } = result;
  if (conflicting === undefined) return result;
  return { ...result, conflicting: conflicting.map(({ value: _, ...cell }) => cell) };
}
