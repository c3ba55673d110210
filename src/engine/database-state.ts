/**
 * Where a database stands, as far as this process knows.
 *
 * It only moves forward: a commit of our own and a look at what others wrote may overtake each
 * other, and whoever comes second with the older state changes nothing.
 */

import { compareHlc } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { Logger } from '../logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { Catalog } from './catalog.ts';
import type { CatalogState } from './catalog-draft.ts';
import { type Head, readHead } from './head.ts';
import type { LogState } from './log.ts';
import { type Appended, LogAnnouncer } from './log-announcer.ts';
import type { Written } from './merge-transaction.ts';

export class DatabaseState {
  readonly #store: KVStore;
  readonly #site: SiteIdText;
  readonly #announcer: LogAnnouncer;
  #head: Head;
  #catalog: CatalogState;
  /** The look that is under way, and the one that begins after it. */
  #looking: Promise<void> = Promise.resolve();
  #nextLook: Promise<void> | undefined;

  /** @param site the coordinator's */
  static async load(store: KVStore, site: SiteIdText, logger: Logger): Promise<DatabaseState> {
    const { head, catalog } = await readState(store, site, undefined);
    return new DatabaseState({ store, site, head, catalog, logger });
  }

  private constructor(loaded: {
    store: KVStore;
    site: SiteIdText;
    head: Head;
    catalog: CatalogState;
    logger: Logger;
  }) {
    const { store, site, head, catalog, logger } = loaded;
    this.#store = store;
    this.#site = site;
    this.#head = head;
    this.#catalog = catalog;
    this.#announcer = new LogAnnouncer(store, head.position, logger);
  }

  get head(): Head {
    return this.#head;
  }

  get catalog(): CatalogState {
    return this.#catalog;
  }

  /** What readers of the log need. */
  get log(): LogState {
    const { position, staleUpTo } = this.#head;
    return { end: position, timeline: this.#catalog.catalog.timeline, staleUpTo };
  }

  /** @returns stops it */
  onAppended(listener: (appended: Appended) => void): () => void {
    return this.#announcer.onAppended(listener);
  }

  /** What a transaction of ours has left, once it is durable. */
  committed({ before, head, catalog, records }: Written): void {
    // What others wrote after it has been read already, and with it this.
    if (compareHlc(head.position, this.#head.position) < 0) return;
    this.#head = head;
    this.#catalog = { catalog, version: head.catalogVersion };
    this.#announcer.grown(head.position, { after: before, records });
  }

  /**
   * Reads what somebody else may have written. Whoever asks while that is read shares the next look.
   * @throws ReplacedError
   */
  refresh(): Promise<void> {
    this.#nextLook ??= this.#looking.then(() => {
      const look = this.#look();
      this.#nextLook = undefined;
      this.#looking = look.catch(() => undefined);
      return look;
    });
    return this.#nextLook;
  }

  async #look(): Promise<void> {
    const { head, catalog } = await readState(this.#store, this.#site, this.#catalog);
    if (compareHlc(head.position, this.#head.position) <= 0) return;
    this.#head = head;
    this.#catalog = catalog;
    this.#announcer.grown(head.position);
  }
}

/**
 * The head and its catalog, without a view: those may all be taken by slow readers of snapshots.
 * @param known serves again while it is that of the head
 */
async function readState(
  store: KVStore,
  site: SiteIdText,
  known: CatalogState | undefined,
): Promise<{ head: Head; catalog: CatalogState }> {
  let head = await readHead(store, site);
  let catalog = known;
  while (catalog?.version !== head.catalogVersion) {
    const version = head.catalogVersion;
    catalog = { catalog: await Catalog.load(store), version };
    // It was read bit by bit: as a whole it is of this version only if that still holds.
    head = await readHead(store, site);
  }
  return { head, catalog };
}
