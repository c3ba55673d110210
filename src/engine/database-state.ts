/**
 * Where a database stands, as far as this process knows: the end of its log and the catalog of that
 * moment, which change as one. What is committed, and has not been taken over yet, is not there for
 * readers: it comes with the next state, and so does the push of it.
 *
 * It only moves forward: a commit of our own and a look at what others wrote may overtake each
 * other, and whoever comes second with the older state changes nothing.
 */

import { compareHlc } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { Logger } from '../logging/logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { type Appended, LogAnnouncer } from './log-announcer.ts';
import type { CommittedState, Written } from './merge/write-transaction.ts';
import { readHead } from './records/head.ts';
import { Catalog } from './tables/catalog.ts';

export class DatabaseState {
  readonly #store: KVStore;
  readonly #site: SiteIdText;
  readonly #announcer: LogAnnouncer;
  #current: CommittedState;
  /** The look that is under way, and the one that begins after it. */
  #looking: Promise<void> = Promise.resolve();
  #nextLook: Promise<void> | undefined;

  /** @param site the coordinator's */
  static async load(store: KVStore, site: SiteIdText, logger: Logger): Promise<DatabaseState> {
    return new DatabaseState(store, site, await readState(store, site, undefined), logger);
  }

  private constructor(store: KVStore, site: SiteIdText, current: CommittedState, logger: Logger) {
    this.#store = store;
    this.#site = site;
    this.#current = current;
    this.#announcer = new LogAnnouncer(store, current, logger);
  }

  get current(): CommittedState {
    return this.#current;
  }

  /** @returns stops it */
  onAppended(listener: (appended: Appended) => void): () => void {
    return this.#announcer.onAppended(listener);
  }

  /** What a transaction of ours has left, once it is durable. */
  committed({ before, head, catalog, records }: Written): void {
    // What others wrote after it has been read already, and with it this.
    if (!this.#moveTo({ head, catalog })) return;
    this.#announcer.grown(this.#current, { after: before, records });
  }

  #moveTo(next: CommittedState): boolean {
    if (isOlder(next, this.#current)) return false;
    this.#current = next;
    return true;
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
    const next = await readState(this.#store, this.#site, this.#current);
    if (this.#moveTo(next)) this.#announcer.grown(this.#current);
  }
}

/** Of what leaves the position where it is, the counts tell which came first. */
function isOlder({ head: a }: CommittedState, { head: b }: CommittedState): boolean {
  const order = compareHlc(a.position, b.position);
  if (order !== 0) return order < 0;
  return a.catalogVersion < b.catalogVersion || a.forgets < b.forgets;
}

/**
 * The head and its catalog, without a view: those may all be taken by slow readers of snapshots.
 * @param known serves again while it is that of the head
 */
async function readState(
  store: KVStore,
  site: SiteIdText,
  known: CommittedState | undefined,
): Promise<CommittedState> {
  let head = await readHead(store, site);
  let version = known?.head.catalogVersion;
  let catalog = known?.catalog;
  while (catalog === undefined || version !== head.catalogVersion) {
    version = head.catalogVersion;
    catalog = await Catalog.load(store);
    // It was read bit by bit: as a whole it is of this version only if that still holds.
    head = await readHead(store, site);
  }
  return { head, catalog };
}
