/**
 * What sites hold that others don't, since it was refused or moved: who has to be told again, who has to start
 * over, and what need not be kept any more. Beside the writers; the merge itself notes what is held.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { Logger } from '../logging/logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { fold } from './merge/held-bound.ts';
import { tellAgain } from './merge/held-telling.ts';
import type { WriteTransaction } from './merge/write-transaction.ts';
import type { Head, Identity } from './records/head.ts';
import { type HeldFloor, readHeldFloor } from './records/held-floors.ts';
import type { HeldLimits } from './records/held-size.ts';
import type { Pace } from './records/pace.ts';
import type { SiteState } from './records/site-state.ts';

/** Of so many sites at least; there are few that hold so much. */
const FOLDS_REMEMBERED_MAX = 1000;

export interface HeldSitesOptions {
  store: KVStore;
  identity: Identity;
  logger: Logger;
  limits: HeldLimits;
  head(): Head;
  /** Reads what others wrote. */
  look(): Promise<void>;
  /** Has a step done in a transaction of its own, beside the writers. */
  tidy<T>(step: (transaction: WriteTransaction) => Promise<T>): Promise<T>;
  newPace(): Pace;
}

export class HeldSites {
  readonly #options: HeldSitesOptions;
  /** Where the log ended when a site’s held rows were folded last. */
  readonly #foldedAt = new Map<SiteIdText, HlcText>();

  constructor(options: HeldSitesOptions) {
    this.#options = options;
  }

  /**
   * Tells a site once more what only it was told: to be called when a snapshot for it has been opened,
   * which holds nothing of that. It comes after the snapshot's position.
   */
  async tellAgain(site: SiteIdText): Promise<void> {
    const { look, head, tidy, identity } = this.#options;
    await look();
    if (!head().heldBytes) return;
    let from: Uint8Array | undefined;
    do {
      from = await tidy((it) => tellAgain(it, site, identity, from));
    } while (from !== undefined);
  }

  /**
   * To be called before a snapshot is opened for a site, for which it may have to start over: from now on it
   * is told what it doesn't take.
   */
  async begin(site: SiteIdText): Promise<void> {
    const floor = await this.floorOf(site);
    if (!floor?.isIdle) return;
    await this.#options.tidy(async ({ floors }) => {
      await floors.load();
      floors.raise(site, floor.hlc, false);
    });
  }

  /** Whether a site has to start over, and is told nothing before it does. */
  async isIdle(site: SiteIdText): Promise<boolean> {
    return (await this.floorOf(site))?.isIdle ?? false;
  }

  /**
   * Up to which a site may hold something that was refused; `undefined` for one of which all is known that it holds.
   */
  async floorOf(site: SiteIdText): Promise<HeldFloor | undefined> {
    await this.#options.look();
    if (this.#options.head().heldFloor === undefined) return undefined;
    return readHeldFloor(this.#options.store, site);
  }

  /**
   * A site has heard of all up to a position. Where much is kept of what it holds, that is let go of as far as it
   * can be.
   */
  async noteHeard(
    site: SiteIdText,
    position: HlcText,
    { heldBytes = 0 }: SiteState,
  ): Promise<void> {
    const { limits, newPace } = this.#options;
    if (heldBytes < limits.heldBytesPerSite / 2) return;
    // Going through all that is held is worth it once it has heard of what it had not heard of then.
    const before = this.#foldedAt.get(site);
    if (before !== undefined && compareHlc(position, before) < 0) return;
    if (this.#foldedAt.size >= FOLDS_REMEMBERED_MAX) this.#foldedAt.clear();
    this.#foldedAt.set(site, this.#options.head().position);
    const how = { identity: this.#options.identity, isIdle: false };
    try {
      await this.#options.tidy((it) => fold(it, new Map([[site, position]]), how, newPace()));
    } catch (error) {
      // It can wait: whoever reads is not to suffer from it.
      this.#options.logger('what %s holds could not be folded: %O', site, error);
    }
  }
}
