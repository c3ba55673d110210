/**
 * Maintenance of the open databases: tombstones expire and the log is shortened every
 * `storage.maintenanceMs`, and once more before an idle database is closed.
 */

import type { Maintained, MaintainOptions } from '../../engine/maintenance/maintenance.ts';
import type { Logger } from '../../logging/logger.ts';
import type { OpenDatabase } from '../access/open-database.ts';
import type { LogPinKeeper } from './log-pins.ts';

export interface DatabaseUpkeepOptions {
  /** `storage.maintenanceMs` */
  everyMs: number;
  logPins: Pick<LogPinKeeper, 'renew'>;
  logger: Logger;
  /** Takes a run that nothing awaits. It may reject. */
  settle(databaseId: string, run: Promise<void>): void;
}

/** The maintenance of one database, until it is closed. */
export interface Upkeep {
  /** Maintains it once more. What a stop has cut off is left for the next time that it is open. */
  run(): Promise<void>;
  stop(): void;
}

export class DatabaseUpkeep {
  readonly #options: DatabaseUpkeepOptions;
  /** What maintenance has removed from all databases so far. */
  readonly counts = { changesCompacted: 0, tombstonesExpired: 0, logPinsLapsed: 0 };

  constructor(options: DatabaseUpkeepOptions) {
    this.#options = options;
  }

  /** Maintains a database from now on, until it is stopped. */
  start(database: OpenDatabase): Upkeep {
    const stopped = new AbortController();
    const { signal } = stopped;
    let timer: NodeJS.Timeout | undefined;
    const run = async () => {
      try {
        await this.maintain(database, { signal });
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    };
    const schedule = () => {
      timer = setTimeout(() => {
        const done = run().finally(() => {
          if (!signal.aborted) schedule();
        });
        this.#options.settle(database.id, done);
      }, this.#options.everyMs);
      timer.unref();
    };
    const stop = () => {
      clearTimeout(timer);
      stopped.abort();
    };
    schedule();
    return { run, stop };
  }

  async maintain(database: OpenDatabase, options: MaintainOptions): Promise<Maintained> {
    const { logPins, logger } = this.#options;
    await logPins.renew(database);
    const done = await database.manager.maintain(options);
    for (const name of done.logPinsLapsed) {
      logger.warn(
        'database %s: its log pin %s has lapsed, since nobody renewed it for sync.logPinMaxAgeMs: ' +
          'what it kept may leave the log now',
        database.id,
        name,
      );
    }
    this.counts.logPinsLapsed += done.logPinsLapsed.length;
    this.counts.changesCompacted += done.changesCompacted;
    this.counts.tombstonesExpired += done.tombstonesExpired;
    return done;
  }
}
