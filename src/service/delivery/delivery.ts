/**
 * The read path of both transports: reads a client a page of changes, without what its read filter
 * hides, or tells it to start over. Snapshots are a part of its own.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { siteIdToText } from '../../clock/site-id.ts';
import type { CoordinatorConfig } from '../../config/schema.ts';
import type { LogCursor } from '../../engine/log/cursor.ts';
import type { LogReadOptions } from '../../engine/log/log.ts';
import type { HookChain } from '../../hooks/chain/chain.ts';
import type { CallOrigin } from '../../hooks/types.ts';
import { Distribution, SECONDS_BUCKETS } from '../../metrics/counts.ts';
import type { DatabaseAccess, OpenDatabase } from '../access/open-database.ts';
import {
  type Reader,
  type ReadRight,
  type Rights,
  type Stamp,
  toGetChanges,
} from '../access/rights.ts';
import { FIRST_PAGE_BYTES, type PageMemory } from '../budgets/page-reads.ts';
import { readFilterOf, readPage } from './read-filter.ts';
import { ServedSnapshots, type ServedSnapshotsOptions } from './served-snapshots.ts';
import type { StartingOver } from './starting-over.ts';

/** Bytes of JSON in one page of changes, however many changes it has. */
const HTTP_PAGE_BYTES_MAX = 4 * 1024 * 1024;

export interface ChangesQuery {
  /** The position that the client has read to; `undefined` to read from the start. */
  sinceHLC?: HlcText | undefined;
  /** The approximate maximum of changes in the page. */
  limit?: number | undefined;
  /** The memory for the page. */
  memory?: PageMemory;
  signal?: AbortSignal;
  /** The call that it is asked in. */
  origin?: CallOrigin;
}

/** Where an answer with changes begins. */
export interface Beginning {
  after: LogCursor;
  /** The state of the client's right by then. */
  stamp: Stamp;
}

/** One page of changes, as JSON pieces. */
export interface ChangesPage {
  changeSets: Uint8Array[];
  hasMore: boolean;
  /** The position to ask from next time. */
  watermark: HlcText;
}

/** A page on its way to a client. */
export interface ServedPage extends ChangesPage {
  /**
   * Whether the client may still see the page; if not, no more of it may be sent. Asks the hooks
   * where needed.
   * @throws SyncError why the client may see nothing
   */
  holds(): Promise<boolean>;
}

export interface DeliveryOptions extends ServedSnapshotsOptions {
  config: CoordinatorConfig;
}

export class Delivery {
  readonly #hooks: HookChain;
  readonly #config: CoordinatorConfig;
  readonly #rights: Rights;
  readonly #startingOver: StartingOver;
  readonly snapshots: ServedSnapshots;
  /** Seconds to read a page of changes. */
  readonly querySeconds = new Distribution(SECONDS_BUCKETS);

  constructor(options: DeliveryOptions) {
    const { hooks, config, rights, startingOver } = options;
    this.#hooks = hooks;
    this.#config = config;
    this.#rights = rights;
    this.#startingOver = startingOver;
    this.snapshots = new ServedSnapshots(options, config.limits);
  }

  /**
   * Changes since a position, in one page. The caller asks its `holds` before it sends a part of it.
   * @throws SyncError NOT_AUTHORIZED, SNAPSHOT_REQUIRED, OVERLOADED
   */
  async changes(
    reader: Reader,
    access: DatabaseAccess,
    query: ChangesQuery = {},
  ): Promise<ServedPage> {
    const { signal } = query;
    const right = this.#rights.of(reader, toGetChanges(access.id, query.sinceHLC));
    for (;;) {
      const { after, stamp } = await this.begin(right, access, query);
      const page = await this.#page(reader, await access.open(), after, query);
      const holds = () => right.holds(stamp, signal);
      // The right or the filter may have changed while the page was read: then read it again.
      if (await holds()) return { ...page, holds };
    }
  }

  /**
   * The beginning of every answer with changes: asks the hooks whether the client may read them.
   * @throws SyncError NOT_AUTHORIZED, SNAPSHOT_REQUIRED
   */
  async begin(
    right: ReadRight,
    access: DatabaseAccess,
    { sinceHLC, signal, origin }: Pick<ChangesQuery, 'sinceHLC' | 'signal' | 'origin'>,
  ): Promise<Beginning> {
    await right.ask(toGetChanges(access.id, sinceHLC), signal, origin);
    const { stamp } = right;
    const database = await access.open();
    const after = await this.#startingOver.cursorFor(stamp.identity, database, sinceHLC);
    return { after, stamp };
  }

  async #page(
    reader: Reader,
    { manager }: OpenDatabase,
    after: LogCursor,
    query: ChangesQuery,
  ): Promise<ChangesPage> {
    const { sinceHLC, limit, signal } = query;
    const { limits, sync } = this.#config;
    const stopTimer = this.querySeconds.startTimer();
    const options: LogReadOptions = {
      after,
      reader: siteIdToText(reader.who().siteId),
      bytesMax: Math.min(
        sinceHLC === undefined ? FIRST_PAGE_BYTES : HTTP_PAGE_BYTES_MAX,
        limits.pageBytes,
      ),
      changesMax: Math.min(limit ?? Number.POSITIVE_INFINITY, sync.batchSize),
    };
    const filter = readFilterOf(this.#hooks, reader, signal);
    const changeSets: Uint8Array[] = [];
    const page = await readPage(
      manager,
      options,
      filter,
      (json) => changeSets.push(json),
      query.memory,
    );
    stopTimer();
    const carry = manager.log.carryOf(page, after.position);
    if (carry !== undefined) changeSets.push(carry);
    return { changeSets, hasMore: page.hasMore, watermark: page.watermark };
  }
}
