/**
 * Who has to start over from a snapshot: those that a demand names, and those that hold too much of
 * what was refused. All others go on from a position in the log.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { type SiteIdText, siteIdToText } from '../../clock/site-id.ts';
import type { LogCursor } from '../../engine/log/cursor.ts';
import type { SiteState } from '../../engine/records/site-state.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { ClientIdentity } from '../../hooks/types.ts';
import { createLogger } from '../../logging/logger.ts';
import type { IdentityPredicate } from '../access/identity-predicates.ts';
import { type OpenDatabase, refuseOwnSite } from '../access/open-database.ts';
import { type LiveSession, START_OVER } from './live-session.ts';
import { Resyncs } from './resyncs.ts';

export class StartingOver {
  readonly #sessions: Iterable<LiveSession>;
  readonly #resyncs = new Resyncs(createLogger('sync-coordinator:service'));

  /** @param sessions all open ones */
  constructor(sessions: Iterable<LiveSession>) {
    this.#sessions = sessions;
  }

  /**
   * Makes the sessions that `predicate` names start over. Clients that are away are told when they
   * come back.
   */
  async demand(predicate: IdentityPredicate): Promise<number> {
    const named = [...this.#sessions].filter(({ identity }) => predicate(identity));
    this.#resyncs.demand(predicate);
    await Promise.all(
      named.map(async (session) => {
        await this.#resyncs.meet(session.identity, session.database);
        session.startOver(START_OVER);
      }),
    );
    return named.length;
  }

  /** Ends the sessions of a site that has to start over. */
  endFull(databaseId: string, site: SiteIdText): void {
    for (const session of [...this.#sessions]) {
      if (session.database.id === databaseId && session.siteId === site) {
        session.startOver(START_OVER);
      }
    }
  }

  /** What is known of the site that reads, once the demands to start over have been noted in it. */
  async siteOf(
    client: ClientIdentity,
    database: OpenDatabase,
  ): Promise<{ site: SiteIdText; state: SiteState }> {
    const site = siteIdToText(client.siteId);
    refuseOwnSite(site, database);
    await this.#resyncs.meet(client, database);
    return { site, state: await database.manager.sites.state(site) };
  }

  /**
   * The log cursor of a client that has everything up to `sinceHLC`.
   * @throws SyncError SNAPSHOT_REQUIRED
   */
  async cursorFor(
    client: ClientIdentity,
    database: OpenDatabase,
    sinceHLC: HlcText | undefined,
  ): Promise<LogCursor> {
    const { manager } = database;
    const { site, state } = await this.siteOf(client, database);
    // Also a client that names no position may hold rows that were refused.
    const mustStartOver =
      state.resync !== undefined && (sinceHLC !== undefined || state.floor !== undefined);
    if (mustStartOver) throw new SyncError('SNAPSHOT_REQUIRED', START_OVER);
    if (await manager.held.isFloorIdle(state.floor)) {
      const limit = 'limits.heldSitesPerDatabase';
      throw new SyncError('SNAPSHOT_REQUIRED', START_OVER, { limit });
    }
    if (sinceHLC === undefined) await manager.sites.noteStartedOver(site, state);
    const cursor = await manager.log.cursorFor(sinceHLC);
    if (!cursor.isFresh) await manager.held.noteHeard(site, cursor.position, state);
    return cursor;
  }
}
