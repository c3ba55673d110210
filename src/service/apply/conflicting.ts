/** Tells a client which changes of its batch have lost, and what has won, if it may read that. */

import { decodeHlc, type HlcText } from '../../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../../clock/site-id.ts';
import type { Unapplied } from '../../engine/merge/batch.ts';
import type { BatchItem } from '../../engine/merge/foreign-authors.ts';
import type { CallOrigin } from '../../hooks/types.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import type { ApplyResult, ConflictingCell, OvertakenChange } from '../../protocol/types.ts';
import { decodeValue } from '../../protocol/values.ts';
import { forEach, runByTurns, type Steps } from '../../wire/steps.ts';
import type { ReadRight, Stamp } from '../access/rights.ts';

/** What an answer says of changes that have lost. */
export type Losses = Pick<ApplyResult, 'conflicting' | 'overtaken' | 'beaten'>;

/** Each change of a batch may be named. */
function* lossesOf(unapplied: readonly Unapplied[], siteId: SiteIdText): Steps<Losses> {
  const conflicting = conflictingOf(unapplied);
  const overtaken = yield* named(unapplied.filter(isOvertaken), siteId);
  const winners = new Set<HlcText | undefined>();
  for (const { lost, by } of unapplied) if (lost !== undefined) winners.add(by);
  const isUntold = (each: Unapplied) => isBeaten(each) && !winners.has(each.by);
  const beaten = yield* named(unapplied.filter(isUntold), siteId);
  return {
    ...(conflicting.length > 0 && { conflicting }),
    ...(overtaken.length > 0 && { overtaken }),
    ...(beaten.length > 0 && { beaten }),
  };
}

export function withConflicting(
  result: ApplyResult,
  conflicting: readonly ConflictingCell[],
): ApplyResult {
  return conflicting.length === 0 ? result : { ...result, conflicting: [...conflicting] };
}

/** Whether its row was deleted, or its table dropped, so that it counts for nothing. */
function isOvertaken({ item, outcome, by }: Unapplied): boolean {
  return outcome === 'skipped' && by !== undefined && by !== item.hlc;
}

/** Whether a newer value of its cell has won. */
function isBeaten({ outcome, by }: Unapplied): boolean {
  return outcome === 'conflicts' && by !== undefined;
}

/**
 * Of what the client has dated itself: what it pushes back is not its loss. All of it, however much
 * that is: a client takes what is not named for stored, and an entry is shorter than its change.
 */
function* named(lost: readonly Unapplied[], siteId: SiteIdText): Steps<OvertakenChange[]> {
  const changes: OvertakenChange[] = [];
  yield* forEach(lost, ({ item, by }) => {
    if (by === undefined || hlcSite(item.hlc) !== siteId) return;
    changes.push({ hlc: decodeHlc(item.hlc), by: decodeHlc(by) });
  });
  return changes;
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
export function winnerOf(each: Unapplied): WireChange | undefined {
  const { item, by, lost, isVoid = false } = each;
  if (by === undefined || 'ddl' in item) return undefined;
  const { type, schema, table, pk } = item;
  if (isOvertaken(each) && !isVoid) return { type: 'delete', schema, table, pk, hlc: by };
  if (lost?.value === undefined || type !== 'column') return undefined;
  const { column } = item;
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
  siteId: SiteIdText;
  right: ReadRight;
  /** From before the batch was merged. */
  stamp: Stamp;
  signal?: AbortSignal | undefined;
  origin?: CallOrigin | undefined;
}

/**
 * What the answer to a client says of changes that have lost: nothing if it may not read, or if what
 * it may read has changed since it sent the batch.
 * @param reading without it nothing is told
 * @param see asks the filter
 */
export async function lossesFor(
  unapplied: readonly Unapplied[],
  reading: Reading | undefined,
  see: () => Promise<Visible>,
): Promise<Visible & { losses: Losses }> {
  const visible = await see();
  const { hidden, isFiltered } = visible;
  const told = unapplied.filter((each) => {
    const { item, lost } = each;
    if (hidden.has(item)) return false;
    if (lost === undefined) return isOvertaken(each) || (isBeaten(each) && !isFiltered);
    return !isFiltered || lost.value !== undefined;
  });
  const nothing = { ...visible, losses: {} };
  if (told.length === 0 || reading === undefined) return nothing;
  const { siteId, right, stamp, signal, origin } = reading;
  try {
    // Given answers are not logged: the client has not asked to read.
    await right.confirm(signal, origin, []);
  } catch {
    return nothing;
  }
  const losses = await runByTurns(lossesOf(told, siteId));
  return right.isFor(stamp) ? { ...visible, losses } : nothing;
}

/** For a client that does not read what it is sent: the values would wait in memory. */
export function withoutWinningValues(result: ApplyResult): ApplyResult {
  const { conflicting } = result;
  if (conflicting === undefined) return result;
  return { ...result, conflicting: conflicting.map(({ value: _, ...cell }) => cell) };
}
