/**
 * Refuses servers on an old timeline. A replica that takes over begins a new timeline, with a
 * higher number. The server that it replaced would still write on the old one if it came back
 * unchanged, and those writes would be in no other history. So a process that has seen a newer
 * timeline never uses an older one.
 *
 * The guard lasts as long as the process. Keeping the old server down is up to the operator.
 */

import type pg from 'pg';
import { SyncError } from '../../errors/sync-error.ts';
import { isConnectionLost } from './faults.ts';

export interface Timeline {
  /** The system identifier of the cluster; timelines count within one cluster. */
  system: string;
  number: number;
}

export class TimelineGuard {
  readonly #newest = new Map<string, number>();

  /** @throws SyncError STORE_UNAVAILABLE if a later timeline of the same cluster was seen */
  async refuseOlder(client: pg.ClientBase): Promise<void> {
    const found = await readTimeline(client);
    if (found === undefined) return;
    const newest = this.#newest.get(found.system) ?? 0;
    if (found.number < newest) {
      throw new SyncError(
        'STORE_UNAVAILABLE',
        `storage.url names a server that another has taken over from (timeline ${found.number}, ` +
          `after ${newest}): stop it, and let it come back as a replica`,
      );
    }
    this.#newest.set(found.system, found.number);
  }
}

/**
 * `undefined` if it can't be read: systems that are compatible with PostgreSQL may not have
 * timelines.
 */
export async function readTimeline(client: pg.ClientBase): Promise<Timeline | undefined> {
  try {
    const { rows } = await client.query<{ system: string; file: string }>(
      'SELECT system_identifier::text AS system, pg_walfile_name(pg_current_wal_lsn()) AS file ' +
        'FROM pg_control_system()',
    );
    const [{ system, file } = { system: '', file: '' }] = rows;
    // The name of a write-ahead log file begins with eight digits of the timeline.
    const number = Number.parseInt(file.slice(0, 8), 16);
    return Number.isNaN(number) ? undefined : { system, number };
  } catch (error) {
    if (isConnectionLost(error)) throw error;
    return undefined;
  }
}
