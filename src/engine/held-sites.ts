/**
 * Sites may hold rows that differ from the database, since a change of theirs was refused or moved.
 * The merge records these held rows. This module sends reverts again, knows which sites have to
 * start over from a snapshot, and removes records that are no longer needed.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { Logger } from '../logging/logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { answerHlc } from './merge/compensation.ts';
import { fold } from './merge/held-bound.ts';
import { redeliverReverts } from './merge/revert-redelivery.ts';
import type { WriteTransaction } from './merge/write-transaction.ts';
import type { Head, Identity } from './records/head.ts';
import { type HeldFloor, isIdle } from './records/held-floor.ts';
import type { HeldLimits } from './records/held-size.ts';
import type { Pace } from './records/pace.ts';
import { readSiteState, type SiteState } from './records/site-state.ts';

/** The number of sites whose last fold is remembered. */
const FOLDS_REMEMBERED_MAX = 1000;

export interface HeldSitesOptions {
  store: KVStore;
  identity: Identity;
  logger: Logger;
  limits: HeldLimits;
  head(): Head;
  /** Reads what other processes wrote. */
  refresh(): Promise<void>;
  /** Runs a step in a transaction of its own, between two groups of writers. */
  tidy<T>(step: (transaction: WriteTransaction) => Promise<T>): Promise<T>;
  newPace(): Pace;
  /** A new name for a demand to start over. */
  newDemand(): string;
}

export class HeldSites {
  readonly #options: HeldSitesOptions;
  /** The end of the log when the held rows of a site were folded last. */
  readonly #foldedAt = new Map<SiteIdText, HlcText>();

  constructor(options: HeldSitesOptions) {
    this.#options = options;
  }

  /**
   * Sends a site its reverts again. To be called when a snapshot for it has been opened, which
   * does not contain them: they get positions after that of the snapshot.
   */
  async tellAgain(site: SiteIdText): Promise<void> {
    const { refresh, head, tidy, identity } = this.#options;
    await refresh();
    if (!head().heldBytes) return;
    let from: Uint8Array | undefined;
    do {
      from = await tidy((it) => redeliverReverts(it, site, identity, from));
    } while (from !== undefined);
  }

  /**
   * To be called before a snapshot is opened for a site. If the site had to start over, this is that
   * start: from now on it gets reverts again. It still has to take a whole snapshot.
   * @returns the state of the site from now on
   */
  async begin(site: SiteIdText, state: SiteState): Promise<SiteState> {
    if (!(await this.isFloorIdle(state.floor))) return state;
    const { store, tidy, limits, newDemand, identity } = this.#options;
    await tidy(async ({ floors, sites }) => {
      await sites.load([site]);
      if (!floors.begin(site, (hlc) => answerHlc(hlc, identity.siteId))) return;
      if (!sites.mustResync(site)) sites.requireResync(site, newDemand());
      await floors.bound(limits.heldSitesPerDatabase);
    });
    return readSiteState(store, site);
  }

  /** Whether a site has to start over from a snapshot. Until then it gets no reverts. */
  async isIdle(site: SiteIdText): Promise<boolean> {
    return this.isFloorIdle(await this.floorOf(site));
  }

  /** The same, of the floor in the state of a site. */
  async isFloorIdle(floor: HeldFloor | undefined): Promise<boolean> {
    if (floor === undefined) return false;
    await this.#options.refresh();
    return isIdle(floor, this.#options.head());
  }

  /**
   * Up to which HLC a site may hold refused changes that are not recorded. `undefined` if all that
   * it holds is recorded.
   */
  async floorOf(site: SiteIdText): Promise<HeldFloor | undefined> {
    return (await readSiteState(this.#options.store, site)).floor;
  }

  /**
   * A site has received all up to a position. If its held rows take much space, those that are no
   * longer needed are removed.
   */
  async noteHeard(
    site: SiteIdText,
    position: HlcText,
    { heldBytes = 0 }: SiteState,
  ): Promise<void> {
    const { limits, newPace, identity } = this.#options;
    const { heldSitesPerDatabase } = limits;
    if (heldBytes < limits.heldBytesPerSite / 2) return;
    // Another fold finds more only once the site has received what the log held at the last one.
    const before = this.#foldedAt.get(site);
    if (before !== undefined && compareHlc(position, before) < 0) return;
    if (this.#foldedAt.size >= FOLDS_REMEMBERED_MAX) this.#foldedAt.clear();
    this.#foldedAt.set(site, this.#options.head().position);
    const how = { identity, isIdle: false, heldSitesPerDatabase };
    try {
      await this.#options.tidy((it) => fold(it, new Map([[site, position]]), how, newPace()));
    } catch (error) {
      // The next read tries again: a failed fold must not fail this one.
      this.#options.logger('the held rows of site %s could not be folded: %O', site, error);
    }
  }
}
