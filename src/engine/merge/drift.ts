/** Refuses changes that are dated further ahead of the server's clock than is allowed. */

import {
  COUNTER_MAX,
  HLC_MAX,
  HLC_MIN,
  type HlcText,
  hlcAtTime,
  hlcWallTimeMs,
  maxHlc,
} from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import { isDatedAfter } from '../records/position-clock.ts';

/**
 * `priorHlc` counts as well: clients may use it, though the coordinator doesn't.
 * @param nowMs the latest time that the server's clock has shown
 * @throws SyncError CLOCK_DRIFT
 */
export function refuseDrift(
  changeSets: readonly WireChangeSet[],
  nowMs: number,
  maxClockDriftMs: number,
): void {
  const latestMs = Math.max(0, Math.floor(nowMs + maxClockDriftMs));
  const latest = hlcAtTime(HLC_MAX, latestMs, COUNTER_MAX);
  const index = changeSets.findIndex((changeSet) => isDatedAfter(changeSet, latest));
  if (index < 0) return;
  const newest = newestOfAll(changeSets);
  throw new SyncError(
    'CLOCK_DRIFT',
    `changes[${index}]: dated ${hlcWallTimeMs(newest) - nowMs} ms ahead of the server's clock, more than sync.maxClockDriftMs (${maxClockDriftMs}) allows`,
    { serverTimeMs: nowMs },
  );
}

/** The greatest HLC in a batch, without `priorHlc`; `undefined` for an empty one. */
export function newestHlc(changeSets: readonly WireChangeSet[]): HlcText | undefined {
  let newest: HlcText | undefined;
  for (const { hlc, changes, schemaMigrations } of changeSets) {
    newest = newest === undefined ? hlc : maxHlc(newest, hlc);
    for (const migration of schemaMigrations) newest = maxHlc(newest, migration.hlc);
    for (const change of changes) newest = maxHlc(newest, change.hlc);
  }
  return newest;
}

function newestOfAll(changeSets: readonly WireChangeSet[]): HlcText {
  let newest = newestHlc(changeSets) ?? HLC_MIN;
  for (const { changes } of changeSets) {
    for (const change of changes) {
      if (change.type === 'column') newest = maxHlc(newest, change.priorHlc ?? newest);
    }
  }
  return newest;
}
