/**
 * Where a database stands, as far as this process knows, and who is told when its log has grown.
 *
 * It only moves forward: a commit of our own and a look at what others wrote may overtake each
 * other, and whoever comes second with the older state changes nothing.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import type { Logger } from '../logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { Catalog } from './catalog.ts';
import { type Head, readHead } from './head.ts';
import type { LogState } from './log.ts';
import type { LogRecord } from './log-record.ts';
import type { CatalogState, Written } from './merge-transaction.ts';

/** The log has grown. */
export interface Appended {
  /** The newest position before. */
  after: HlcText;
  /** The newest position now. */
  end: HlcText;
  /** What was written, if it was written here: a reader at `after` needs nothing else. */
  records: readonly LogRecord[] | undefined;
}

export class DatabaseState {
  readonly #logger: Logger;
  readonly #listeners = new Set<(appended: Appended) => void>();
  #head: Head;
  #catalog: CatalogState;

  static async load(store: KVStore, logger: Logger): Promise<DatabaseState> {
    const { head, catalog } = await readState(store, undefined);
    return new DatabaseState(head, catalog, logger);
  }

  private constructor(head: Head, catalog: CatalogState, logger: Logger) {
    this.#head = head;
    this.#catalog = catalog;
    this.#logger = logger;
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
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What a transaction of ours has left, once it is durable. */
  committed({ before, head, catalog, records }: Written): void {
    const known = this.#head.position;
    // What others wrote after it has been read already, and with it this.
    if (compareHlc(head.position, known) < 0) return;
    this.#head = head;
    this.#catalog = { catalog, version: head.catalogVersion };
    // Somebody else has written meanwhile, and nobody here has heard of it yet.
    if (known !== before) this.#announce(known, undefined);
    else if (records.length > 0) this.#announce(before, records);
  }

  /** Reads what somebody else may have written. */
  async refresh(store: KVStore): Promise<void> {
    const { head, catalog } = await readState(store, this.#catalog);
    const known = this.#head.position;
    if (compareHlc(head.position, known) <= 0) return;
    this.#head = head;
    this.#catalog = catalog;
    this.#announce(known, undefined);
  }

  #announce(after: HlcText, records: readonly LogRecord[] | undefined): void {
    const appended = { after, end: this.#head.position, records };
    for (const listener of this.#listeners) {
      try {
        listener(appended);
      } catch (error) {
        // What is durable must not look as if it had failed, because somebody failed to hear of it.
        this.#logger.error('a listener failed: %O', error);
      }
    }
  }
}

/**
 * The head and its catalog, without a view: those may all be taken by slow readers of snapshots.
 * @param known serves again while it is that of the head
 */
async function readState(
  store: KVStore,
  known: CatalogState | undefined,
): Promise<{ head: Head; catalog: CatalogState }> {
  let head = await readHead(store);
  let catalog = known;
  while (catalog?.version !== head.catalogVersion) {
    const version = head.catalogVersion;
    catalog = { catalog: await Catalog.load(store), version };
    // It was read bit by bit: as a whole it is of this version only if that still holds.
    head = await readHead(store);
  }
  return { head, catalog };
}
