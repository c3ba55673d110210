/** Snapshots on their way to clients: opened where one may be served, without what a read filter hides. */

import type { RowsMemory } from '../../engine/records/row-reader.ts';
import type { Snapshot } from '../../engine/snapshot/snapshot.ts';
import type { LimitName } from '../../errors/limit-names.ts';
import type { HookChain } from '../../hooks/chain/chain.ts';
import type { CallOrigin } from '../../hooks/types.ts';
import type { WireCheckpoint } from '../../protocol/schemas.ts';
import type { DatabaseAccess } from '../access/open-database.ts';
import type { Reader, Rights, Stamp } from '../access/rights.ts';
import { changed } from './filtered-ddl.ts';
import { filterSnapshot } from './filtered-snapshot.ts';
import { readFilterOf } from './read-filter.ts';
import { type SnapshotStreamLimits, SnapshotStreams } from './snapshot-streams.ts';
import type { StartingOver } from './starting-over.ts';

/** A snapshot on its way to a client. */
export interface ServedSnapshot extends Snapshot {
  /** To be taken when a chunk comes that is not sent at once. */
  now(): Stamp;
  /**
   * To be asked right before such a chunk is sent.
   * @throws SyncError when the client may not be sent it any more
   */
  isFor(stamp: Stamp): Promise<void>;
  /**
   * To be called when all of it has been sent: records that for `drainPoint`, and ends a resync.
   */
  noteSent(): Promise<void>;
}

export interface SnapshotQuery {
  /** Where to go on. */
  checkpoint?: WireCheckpoint | undefined;
  signal?: AbortSignal;
  /** The call that it is sent for. */
  origin?: CallOrigin;
  /** Bytes that have been sent to the socket, but not taken by the client yet. */
  queuedBytes?(): number;
  /** For its rows. */
  memory?: RowsMemory;
}

export interface ServedSnapshotsOptions {
  hooks: HookChain;
  rights: Rights;
  startingOver: StartingOver;
  /** See `SnapshotStreams`. */
  onLimit(limit: LimitName): void;
}

export class ServedSnapshots {
  readonly #options: ServedSnapshotsOptions;
  readonly #streams: SnapshotStreams;

  constructor(options: ServedSnapshotsOptions, limits: SnapshotStreamLimits) {
    this.#options = options;
    this.#streams = new SnapshotStreams(limits, options.onLimit);
  }

  get counts(): SnapshotStreams['counts'] {
    return this.#streams.counts;
  }

  /** How many are being sent. */
  get size(): number {
    return this.#streams.size;
  }

  /**
   * Opens a snapshot, as soon as another one may be served. The caller closes it.
   * @throws SyncError NOT_AUTHORIZED, OVERLOADED
   */
  async open(
    reader: Reader,
    access: DatabaseAccess,
    query: SnapshotQuery = {},
  ): Promise<ServedSnapshot> {
    const { checkpoint, signal, origin } = query;
    const type = checkpoint === undefined ? 'get_snapshot' : 'resume_snapshot';
    const right = this.#options.rights.of(reader, { type, databaseId: access.id });
    await right.confirm(signal, origin);
    const database = await access.open();
    const { manager } = database;
    const { site, state } = await this.#options.startingOver.siteOf(reader.who(), database);
    const { resync } = await manager.held.begin(site, state);
    // After a resync, the checkpoint stands for what the client saw before.
    const usable = resync === undefined ? checkpoint : undefined;
    const snapshot = await this.#streams.open(database, usable, { ...query, site });
    await manager.held.tellAgain(site);
    const now = () => right.stamp;
    const holds = (stamp: Stamp) => right.holds(stamp, signal);
    const readFilter = readFilterOf(this.#options.hooks, reader, signal, origin);
    return {
      ...filterSnapshot(snapshot, readFilter, { now, holds }),
      now,
      isFor: async (stamp) => {
        if (!(await holds(stamp))) throw changed();
      },
      noteSent: () => manager.sites.noteSnapshotSent(site, snapshot.headerHlc, resync),
    };
  }
}
