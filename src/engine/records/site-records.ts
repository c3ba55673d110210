/** Reads and updates the records of sites (see `site-state.ts`) outside of merges. */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { KVStore } from '../../storage/kv-store.ts';
import { writeExclusively } from '../../storage/store-failure.ts';
import { readHead } from './head.ts';
import { siteKey } from './keys.ts';
import { unmark } from './position-marks.ts';
import { readSiteState, type SiteState } from './site-state.ts';

export class SiteRecords {
  readonly #store: KVStore;
  readonly #world: { randomUuid(): string };
  readonly #alone: (work: () => Promise<void>) => Promise<void>;
  readonly #coordinator: SiteIdText;

  /**
   * @param alone runs work while nothing else in this process writes
   * @param coordinator the coordinator's site id
   */
  constructor(
    store: KVStore,
    world: { randomUuid(): string },
    alone: (work: () => Promise<void>) => Promise<void>,
    coordinator: SiteIdText,
  ) {
    this.#store = store;
    this.#world = world;
    this.#alone = alone;
    this.#coordinator = coordinator;
  }

  state(site: SiteIdText): Promise<SiteState> {
    return readSiteState(this.#store, site);
  }

  /**
   * Records that `site` has been sent a whole snapshot.
   * @param headerHlc the HLC of its header
   * @param resync the demand to start over when the snapshot began, which is met by it
   */
  noteSnapshotSent(site: SiteIdText, headerHlc: HlcText, resync?: string): Promise<void> {
    return this.#update(site, ({ resync: demanded, ...state }) => ({
      ...state,
      snapshot: laterSnapshot(state.snapshot, headerHlc),
      ...(demanded === undefined || demanded === resync ? {} : { resync: demanded }),
    }));
  }

  /** Refuses `site` deltas until it has been sent a whole snapshot. */
  requireResync(site: SiteIdText): Promise<void> {
    const resync = this.#world.randomUuid();
    return this.#update(site, (state) => ({ ...state, resync }));
  }

  /** `site` starts from nothing, which meets a demand to start over, if there is one in its `state`. */
  async noteStartedOver(site: SiteIdText, { resync }: SiteState): Promise<void> {
    if (resync === undefined) return;
    await this.#update(site, ({ resync: demanded, ...state }) =>
      demanded === resync ? state : { ...state, resync: demanded },
    );
  }

  #update(site: SiteIdText, update: (state: SiteState) => SiteState): Promise<void> {
    return this.#alone(() =>
      writeExclusively(
        this.#store,
        async (transaction) => {
          await readHead(transaction, this.#coordinator);
          const state = update(await readSiteState(transaction, site));
          transaction.put(siteKey(site), Buffer.from(JSON.stringify(state)));
        },
        // A database that does not exist has sent nothing to the site.
        { whereAbsent: 'drop' },
      ),
    );
  }
}

/** The header HLC of the snapshot with the later position. */
function laterSnapshot(known: HlcText | undefined, headerHlc: HlcText): HlcText {
  if (known === undefined) return headerHlc;
  const order = compareHlc(unmark(known).position, unmark(headerHlc).position);
  return order > 0 ? known : headerHlc;
}
