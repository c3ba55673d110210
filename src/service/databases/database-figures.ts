/** Figures of all open databases together, for metrics and `/status`. */

import type { SyncManager } from '../../engine/sync-manager.ts';
import type { World } from '../../engine/world.ts';
import type { DatabasePool } from './database-pool.ts';

/**
 * How far the newest position is ahead of the clock, in milliseconds, in the database where it is
 * furthest.
 */
export function positionAheadMs(pool: DatabasePool): number {
  return Math.max(0, ...[...pool.open()].map(({ manager }) => manager.positionAheadMs));
}

/** Each figure is computed when it is read. */
export function databaseFigures(pool: DatabasePool, world: World) {
  const sum = (figure: (manager: SyncManager) => number) =>
    [...pool.open()].reduce((total, { manager }) => total + figure(manager), 0);
  // The longest time; 0 if no database has such a moment.
  const secondsSince = (moment: (manager: SyncManager) => number | undefined) => {
    const nowMs = world.now();
    const moments = [...pool.open()].map(({ manager }) => moment(manager) ?? nowMs);
    return (nowMs - Math.min(nowMs, ...moments)) / 1000;
  };
  return {
    logLength: () => sum(({ logLength }) => logLength),
    logChanges: () => sum(({ logChanges }) => logChanges.logged),
    logChangesReplaced: () => sum(({ logChanges }) => logChanges.replaced),
    heldSites: () => sum(({ heldSites }) => heldSites),
    positionAhead: () => positionAheadMs(pool) / 1000,
    logPins: () => sum(({ logPins }) => logPins.summary.count),
    logPinAge: () => secondsSince(({ logPins }) => logPins.summary.renewedAtMs),
    logPinLag: () => secondsSince(({ logPins }) => logPins.summary.unreadSinceMs),
  };
}
