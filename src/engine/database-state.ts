/**
 * The state of a database, as far as this process knows it: the end of its log and the catalog of
 * that moment, which change together. Readers see a commit, and sessions are pushed it, only once
 * it is part of this state.
 *
 * The state never moves back: a commit of this process and a refresh may overtake each other, and
 * the one that ends second with an older state changes nothing.
 */

import { compareHlc } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import { SyncError } from '../errors/sync-error.ts';
import { BoundedLog } from '../logging/bounded-log.ts';
import type { Logger } from '../logging/logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { type Appended, LogAnnouncer } from './log-announcer.ts';
import type { CommittedState, Written } from './merge/write-transaction.ts';
import { ReplacedError, readHead } from './records/head.ts';
import type { Moment } from './snapshot/snapshot.ts';
import { Catalog } from './tables/catalog.ts';
import { type CatalogRoom, UNLIMITED_ROOM } from './tables/catalog-memory.ts';

/** How often a view is opened anew because the catalog has changed meanwhile. */
const VIEWS_MAX = 10;
const RETRY_AFTER_MS = 1000;

export interface DatabaseStateOptions {
  /** The coordinator's site id. */
  site: SiteIdText;
  logger: Logger;
  /** Default: no bound. */
  room?: CatalogRoom;
  /** Called when a refresh has found another database in the store. */
  onReplaced?(error: ReplacedError): void;
}

export class DatabaseState {
  readonly #store: KVStore;
  readonly #site: SiteIdText;
  readonly #announcer: LogAnnouncer;
  readonly #logger: Logger;
  readonly #room: CatalogRoom;
  readonly #onReplaced: ((error: ReplacedError) => void) | undefined;
  #current: CommittedState;
  /** The refresh that is under way, and the one that begins after it. */
  #refreshing: Promise<void> = Promise.resolve();
  #nextRefresh: Promise<void> | undefined;

  static async load(store: KVStore, options: DatabaseStateOptions): Promise<DatabaseState> {
    const { site, room = UNLIMITED_ROOM } = options;
    const current = await readState(store, site, undefined, room);
    return new DatabaseState(store, current, room, options);
  }

  private constructor(
    store: KVStore,
    current: CommittedState,
    room: CatalogRoom,
    { site, logger, onReplaced }: DatabaseStateOptions,
  ) {
    this.#store = store;
    this.#site = site;
    this.#current = current;
    this.#logger = logger;
    this.#room = room;
    this.#onReplaced = onReplaced;
    this.#announcer = new LogAnnouncer(store, current, logger);
  }

  get current(): CommittedState {
    return this.#current;
  }

  /** @returns stops it */
  onAppended(listener: (appended: Appended) => void): () => void {
    return this.#announcer.onAppended(listener);
  }

  /** Takes over the result of a transaction of this process, once it is durable. */
  committed({ before, head, catalog, records, isTidying = false }: Written): void {
    // A refresh has already read a later commit of another process, and this one with it.
    if (!this.#moveTo({ head, catalog })) return;
    this.#announcer.grown(this.#current, { after: before, records, isTidying });
  }

  #moveTo(next: CommittedState): boolean {
    if (isOlder(next, this.#current)) return false;
    this.#current = next;
    this.holdRoom();
    return true;
  }

  /** Gives back the room for a next catalog that there is not going to be. */
  holdRoom(): void {
    this.#room.hold(this.#current.catalog.size.heldBytes);
  }

  /**
   * Reads what other processes may have written. Calls made during a refresh share the next one.
   * @throws ReplacedError
   */
  refresh(): Promise<void> {
    this.#nextRefresh ??= this.#refreshing.then(() => {
      const refresh = this.#refresh();
      this.#nextRefresh = undefined;
      this.#refreshing = refresh.catch(() => undefined);
      return refresh;
    });
    return this.#nextRefresh;
  }

  /**
   * Opens a view with the catalog of its moment. All views share it, so none costs the memory for
   * its DDL.
   * @throws ReplacedError
   * @throws SyncError OVERLOADED
   */
  async view(): Promise<Moment> {
    for (let opened = 0; opened < VIEWS_MAX; opened++) {
      const before = this.#current;
      const view = await this.#store.view();
      try {
        const head = await readHead(view, this.#site);
        for (const { head: known, catalog } of [this.#current, before]) {
          if (known.catalogVersion === head.catalogVersion) return { view, head, catalog };
        }
        await view.close();
        if (head.catalogVersion > this.#current.head.catalogVersion) await this.refresh();
      } catch (error) {
        await view.close();
        throw error;
      }
    }
    const message = 'the tables of this database change all the time; try again';
    throw new SyncError('OVERLOADED', message, { retryAfterMs: RETRY_AFTER_MS });
  }

  /** Refreshes whenever another process has written. @returns ends it */
  follow(): () => void {
    const faults = new BoundedLog({ logger: this.#logger, level: 'error', verb: 'failed' });
    return this.#store.onCommit(() =>
      this.refresh().then(
        () => true,
        (error: unknown) => {
          if (error instanceof ReplacedError) return true;
          faults.addError('reading what other processes wrote', undefined, error);
          return false;
        },
      ),
    );
  }

  async #refresh(): Promise<void> {
    try {
      const next = await readState(this.#store, this.#site, this.#current);
      if (this.#moveTo(next)) this.#announcer.grown(this.#current);
    } catch (error) {
      if (error instanceof ReplacedError) this.#onReplaced?.(error);
      throw error;
    }
  }
}

/** Two states may have the same position: then their counts tell which came first. */
function isOlder({ head: a }: CommittedState, { head: b }: CommittedState): boolean {
  const order = compareHlc(a.position, b.position);
  if (order !== 0) return order < 0;
  return a.catalogVersion < b.catalogVersion || a.forgets < b.forgets;
}

/**
 * Reads the head and its catalog, without a view: slow readers of snapshots may hold all views.
 * @param known its catalog is reused while the head still names its version
 * @param room for a catalog where none is known: what others have written cannot wait for any
 */
async function readState(
  store: KVStore,
  site: SiteIdText,
  known: CommittedState | undefined,
  room: Pick<CatalogRoom, 'read'> = UNLIMITED_ROOM,
): Promise<CommittedState> {
  let head = await readHead(store, site);
  let version = known?.head.catalogVersion;
  let catalog = known?.catalog;
  while (catalog === undefined || version !== head.catalogVersion) {
    version = head.catalogVersion;
    catalog = await Catalog.load(store, room);
    // The catalog was read in several steps: it is whole only if the version is still the same.
    head = await readHead(store, site);
  }
  return { head, catalog };
}
