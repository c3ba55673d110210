/** Tells a client which changes of its batch have lost, and what has won. */

import { decodeHlc, type HlcText } from '../../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../../clock/site-id.ts';
import type { Elsewhere, Unapplied } from '../../engine/merge/batch.ts';
import type {
  ApplyResult,
  ConflictingCell,
  ElsewhereChange,
  OvertakenChange,
} from '../../protocol/types.ts';
import { decodeValue } from '../../protocol/values.ts';
import { forEach, type Steps } from '../../wire/steps.ts';

/** What an answer says of changes that have lost. */
export type Losses = Pick<ApplyResult, 'conflicting' | 'overtaken' | 'beaten' | 'standing'>;

/**
 * Each change of a batch may be named.
 * @param unapplied of which the client may know
 */
export function* lossesOf(unapplied: readonly Unapplied[], siteId: SiteIdText): Steps<Losses> {
  const conflicting = conflictingOf(unapplied);
  const overtaken = yield* named(unapplied.filter(isOvertaken), siteId);
  const winners = new Set<HlcText | undefined>();
  for (const each of unapplied) if (isCell(each)) winners.add(each.by);
  const isUntold = (each: Unapplied) => isBeaten(each) && !winners.has(each.by);
  const beaten = yield* named(unapplied.filter(isUntold), siteId);
  const ddl = unapplied.filter((each) => isDdl(each) && hlcSite(each.item.hlc) === siteId);
  const standing = ddl.flatMap(({ item, by }) => (by === item.hlc ? decodeHlc(by) : []));
  return {
    ...(conflicting.length > 0 && { conflicting }),
    ...(overtaken.length > 0 && { overtaken }),
    ...(beaten.length > 0 && { beaten }),
    ...(ddl.length > 0 && { standing }),
  };
}

/** Where the changes of the client's own are that are not under the names that they give. */
export function* elsewhereOf(
  moved: readonly Elsewhere[],
  siteId: SiteIdText,
): Steps<Pick<ApplyResult, 'elsewhere'>> {
  const elsewhere: ElsewhereChange[] = [];
  yield* forEach(moved, ({ item, table }) => {
    if (hlcSite(item.hlc) !== siteId) return;
    elsewhere.push({ hlc: decodeHlc(item.hlc), ...(table !== undefined && { table }) });
  });
  return elsewhere.length > 0 ? { elsewhere } : {};
}

export function withConflicting(
  result: ApplyResult,
  conflicting: readonly ConflictingCell[],
): ApplyResult {
  return conflicting.length === 0 ? result : { ...result, conflicting: [...conflicting] };
}

/** Whether its row was deleted, or its table dropped, so that it counts for nothing. */
export function isOvertaken({ item, outcome, by }: Unapplied): boolean {
  return outcome === 'skipped' && by !== undefined && by !== item.hlc;
}

/** Whether a newer value of its cell has won. */
function isBeaten({ outcome, by }: Unapplied): boolean {
  return outcome === 'conflicts' && by !== undefined;
}

/** Whether the answer names it, with what has won. */
function isCell(each: Unapplied): boolean {
  return isBeaten(each) && each.lost !== undefined;
}

/** Whether it is DDL that was said before, or comes to nothing. */
function isDdl({ item, outcome }: Unapplied): boolean {
  return outcome === 'skipped' && 'ddl' in item;
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
  return unapplied.flatMap((each) => {
    const { item, by, lost } = each;
    if (!isCell(each) || lost === undefined || by === undefined || item.type !== 'column')
      return [];
    const { schema, table, column } = item;
    const pk = item.pk.map(decodeValue);
    const { value: json } = lost;
    const value = json === undefined ? {} : { value: decodeValue(JSON.parse(json)) };
    return { schema, table, column, pk, hlc: decodeHlc(by), ...value };
  });
}

/** For a client that does not read what it is sent: the values would wait in memory. */
export function withoutWinningValues(result: ApplyResult): ApplyResult {
  const { conflicting } = result;
  if (conflicting === undefined) return result;
  return { ...result, conflicting: conflicting.map(({ value: _, ...cell }) => cell) };
}
