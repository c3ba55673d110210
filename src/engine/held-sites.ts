/**
 * Sites may hold rows that differ from the database, since a change of theirs was refused or moved.
 * The merge records these held rows. This module sends reverts again, knows which sites have to
 * start over from a snapshot, and removes records that are no longer needed.
 */

import { compareHlc, type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { Logger } from '../logging/logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { answerHlc } from './merge/compensation.ts';
import { fold } from './merge/held-bound.ts';
import { redeliverReverts } from './merge/revert-redelivery.ts';
import type { WriteTransaction } from './merge/write-transaction.ts';
import type { Head, Identity } from './records/head.ts';
import type { HeldLimits } from './records/held-size.ts';
import type { Pace } from './records/pace.ts';
import { wallTimeToHlc } from './records/position-clock.ts';
import { readSiteState, type SiteState } from './records/site-state.ts';

/** The number of sites whose last fold is remembered. */
const FOLDS_REMEMBERED_MAX = 1000;
/** The number of sites of which it is remembered whether they are floored. */
const FLOORED_REMEMBERED_MAX = 10_000;

export interface HeldSitesOptions {
  store: KVStore;
  identity: Identity;
  logger: Logger;
  limits: HeldLimits;
  head(): Head;
  /** Wall time in milliseconds. */
  now(): number;
  /** Reads what other processes wrote. */
  refresh(): Promise<void>;
  /** Runs a step in a transaction of its own, between two groups of writers. */
  tidy<T>(step: (transaction: WriteTransaction) => Promise<T>): Promise<T>;
  newPace(): Pace;
}

export class HeldSites {
  readonly #options: HeldSitesOptions;
  /** The end of the log when the held rows of a site were folded last. */
  readonly #foldedAt = new Map<SiteIdText, HlcText>();
  /**
   * Whether a site is floored; if it is not, how many were then: while that number is the same, it
   * still is not.
   */
  readonly #floored = new Map<SiteIdText, true | number>();

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
   * To be called before a snapshot is opened for a site. If the site had to start over, this is
   * that start: from now on it gets reverts again. A site that holds what is dated ahead of this
   * server gets its snapshot, and has to start over once more when that time has come.
   */
  async begin(site: SiteIdText): Promise<void> {
    if (!(await this.isIdle(site))) return;
    const { tidy, identity } = this.#options;
    await tidy(async ({ sites, floor }) => {
      await sites.load([site]);
      const idle = floor.idleOf(site);
      if (idle === undefined) return;
      if (compareHlc(idle, this.#now) <= 0) floor.endIdle(site);
      // The next snapshot must win over this one.
      else floor.makeIdle(site, answerHlc(idle, identity.siteId));
    });
  }

  /** The wall time, as the HLC before those of that time. */
  get #now(): HlcText {
    const { now, head, identity } = this.#options;
    const nowMs = Math.max(now(), hlcWallTimeMs(head().position));
    return wallTimeToHlc(nowMs, identity.siteId);
  }

  /** Whether a site has to start over from a snapshot. Until then it gets no reverts. */
  async isIdle(site: SiteIdText): Promise<boolean> {
    return (await readSiteState(this.#options.store, site)).idle !== undefined;
  }

  /** Whether a site gets the reverts for floored sites (see `held-floor.ts`), as of now. */
  async isFloored(site: SiteIdText): Promise<boolean> {
    const known = this.knownFloored(site);
    if (known !== undefined) return known;
    const { flooredSites = 0 } = this.#options.head();
    const { isFloored } = await readSiteState(this.#options.store, site);
    if (this.#floored.size >= FLOORED_REMEMBERED_MAX) this.#floored.clear();
    this.#floored.set(site, isFloored ?? flooredSites);
    return isFloored ?? false;
  }

  /** The same, if it can be told without reading. */
  knownFloored(site: SiteIdText): boolean | undefined {
    const { flooredSites = 0 } = this.#options.head();
    if (flooredSites === 0) return false;
    const known = this.#floored.get(site);
    if (known === true) return true;
    return known === flooredSites ? false : undefined;
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
    const { limits, newPace } = this.#options;
    if (heldBytes < limits.heldBytesPerSite / 2) return;
    // Another fold finds more only once the site has received what the log held at the last one.
    const before = this.#foldedAt.get(site);
    if (before !== undefined && compareHlc(position, before) < 0) return;
    if (this.#foldedAt.size >= FOLDS_REMEMBERED_MAX) this.#foldedAt.clear();
    this.#foldedAt.set(site, this.#options.head().position);
    const folded = { site, heard: position, upTo: this.#now };
    try {
      await this.#options.tidy((it) => fold(it, folded, this.#options.identity, newPace()));
    } catch (error) {
      // The next read tries again: a failed fold must not fail this one.
      this.#options.logger('the held rows of site %s could not be folded: %O', site, error);
    }
  }
}
