/**
 * Which history a server writes on. A replica that takes over begins a new timeline, with a higher
 * number; the server that it took over from still writes on the old one if it comes back as it was.
 * What is written there is in no other's history, so who has seen the newer one never goes back.
 *
 * This holds for as long as the process runs. That the old server stays down is the operator's part.
 */

import type pg from 'pg';
import { SyncError } from '../../errors/sync-error.ts';
import { isConnectionLost } from './faults.ts';

export interface Timeline {
  /** Of the cluster: a new one begins to count anew. */
  system: string;
  number: number;
}

export class TimelineGuard {
  readonly #newest = new Map<string, number>();

  /** @throws SyncError STORE_UNAVAILABLE, when a later timeline of the same cluster was seen */
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

/** `undefined` where that cannot be known: what is compatible with PostgreSQL may have no such thing. */
export async function readTimeline(client: pg.ClientBase): Promise<Timeline | undefined> {
  try {
    const { rows } = await client.query<{ system: string; file: string }>(
      'SELECT system_identifier::text AS system, pg_walfile_name(pg_current_wal_lsn()) AS file ' +
        'FROM pg_control_system()',
    );
    const [{ system, file } = { system: '', file: '' }] = rows;
    // The first eight digits of a name of the write-ahead log.
    const number = Number.parseInt(file.slice(0, 8), 16);
    return Number.isNaN(number) ? undefined : { system, number };
  } catch (error) {
    if (isConnectionLost(error)) throw error;
    return undefined;
  }
}
