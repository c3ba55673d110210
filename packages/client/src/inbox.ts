/**
 * Takes in what the server sends: what one message holds becomes one batch of the store, with the
 * position that it leads to.
 */

import { HLC_MIN, type HlcText } from '../../../src/clock/hlc.ts';
import { later, type SiteClock } from './clock.ts';
import type { ConnectionPort } from './connection/options.ts';
import type {
  Change,
  Checkpoint,
  ColumnVersionsChunk,
  HeaderChunk,
  Migration,
  SentChangeSet,
  SnapshotChunk,
  TombstoneChunk,
} from './protocol/messages.ts';
import {
  DDL,
  entryOf,
  generationPrefix,
  META,
  type Meta,
  PAGE,
  ROW,
  type StoredSnapshot,
} from './replica/entries.ts';
import type { Replica } from './replica/replica.ts';
import { RowChanges } from './replica/row-changes.ts';
import { changesOf, rowAbove } from './replica/rows.ts';
import type { StoreOperation } from './stores/store.ts';

export interface InboxPort {
  /** @returns resolves when the operations are durable */
  commit(operations: StoreOperation[]): Promise<void>;
  now(): number;
}

/** So many chunks of a snapshot may wait for the store while the next one is taken in. */
export const CHUNKS_AHEAD_MAX = 32;

export class Inbox implements ConnectionPort {
  readonly #replica: Replica;
  readonly #clock: SiteClock;
  readonly #port: InboxPort;
  /** Parts of a snapshot on their way into the store, which writes together what has come meanwhile. */
  readonly #ahead: Promise<void>[] = [];
  /** How often DDL has come that makes, drops or renames tables. */
  ddlHeard = 0;

  constructor(replica: Replica, clock: SiteClock, port: InboxPort) {
    this.#replica = replica;
    this.#clock = clock;
    this.#port = port;
  }

  position(): string | undefined {
    const { position, snapshot } = this.#replica.meta;
    return snapshot === undefined ? position : undefined;
  }

  checkpoint(): Checkpoint | undefined {
    return this.#replica.meta.snapshot?.checkpoint;
  }

  async receive(changeSets: readonly SentChangeSet[], isOrdered: boolean): Promise<void> {
    // With a gap before it, a name may be another table's: what was left out comes in the answer, and
    // this with it. Nor does anything count that was asked for before all had to begin anew.
    if (!isOrdered || this.position() === undefined) return;
    const rows = new RowChanges(this.#replica);
    let { position } = this.#replica.meta;
    rows.migrate(changeSets.flatMap(({ schemaMigrations }) => schemaMigrations));
    for (const { hlc, changes } of changeSets) {
      for (const change of changes) rows.mergeSent(change);
      position = later(position, hlc);
    }
    if (rows.movesNames) this.ddlHeard++;
    const { isHeld } = rows;
    const meta = { ...this.#metaWith(rows.seen), position, isHeld, lastSyncedAt: this.#port.now() };
    const operations = [...rows.operations(), entryOf(META, meta)];
    if (rows.isLate) operations.push(...startingOver(meta));
    await this.#port.commit(operations);
  }

  async startOver(): Promise<void> {
    await this.#port.commit(startingOver(this.#replica.meta));
  }

  async receiveChunk(chunk: SnapshotChunk): Promise<void> {
    if (chunk.type === 'header') return this.#begin(chunk);
    const { snapshot } = this.#replica.meta;
    if (snapshot === undefined) throw new Error('a snapshot began without its header');
    switch (chunk.type) {
      case 'schema-migration':
        return this.#migrate(snapshot, chunk.migration);
      case 'table-start':
        return this.#putSnapshot({
          ...snapshot,
          estimatedEntries: snapshot.estimatedEntries + chunk.estimatedEntries,
        });
      case 'table-end':
        return this.#endTable(snapshot, `${chunk.schema}.${chunk.table}`);
      case 'column-versions':
      case 'tombstone':
        return this.#fill(snapshot, chunk);
      case 'footer':
        return this.#finish(snapshot);
    }
  }

  async #begin(header: HeaderChunk): Promise<void> {
    const { meta } = this.#replica;
    const before = meta.snapshot;
    if (before !== undefined && before.checkpoint.snapshotId === header.snapshotId) {
      // The table that was broken off comes again from its beginning.
      const { lastEntryIndex: entriesProcessed, lastTableIndex: estimatedEntries } =
        before.checkpoint;
      const checkpoint = { ...before.checkpoint, entriesProcessed };
      return this.#putSnapshot({ ...before, checkpoint, estimatedEntries });
    }
    const generation = Math.max(meta.generation, before?.generation ?? 0) + 1;
    const snapshot: StoredSnapshot = {
      generation,
      estimatedEntries: 0,
      checkpoint: {
        snapshotId: header.snapshotId,
        siteId: meta.siteId,
        hlc: header.hlc,
        lastTableIndex: 0,
        lastEntryIndex: 0,
        completedTables: [],
        entriesProcessed: 0,
        createdAt: this.#port.now(),
      },
    };
    await this.#putSnapshot(snapshot, clear(before?.generation));
  }

  /**
   * Nothing depends on a part of a snapshot before its end, which is stored after it: so it isn't waited
   * for, unless the store is far behind.
   */
  async #putSnapshot(
    snapshot: StoredSnapshot,
    also: StoreOperation[] = [],
    seen?: HlcText,
  ): Promise<void> {
    const value: Meta = { ...this.#metaWith(seen), snapshot };
    this.#ahead.push(this.#port.commit([...also, entryOf(META, value)]));
    if (this.#ahead.length > CHUNKS_AHEAD_MAX) await this.#ahead.shift();
  }

  #metaWith(seen: HlcText | undefined): Meta {
    const { meta } = this.#replica;
    if (seen !== undefined) this.#clock.observe(seen);
    return { ...meta, seen: later(meta.seen, seen) };
  }

  #migrate(snapshot: StoredSnapshot, migration: Migration): Promise<void> {
    const rows = new RowChanges(this.#replica, snapshot.generation);
    rows.migrate([migration]);
    return this.#putSnapshot(snapshot, rows.operations(), rows.seen);
  }

  #endTable(snapshot: StoredSnapshot, table: string): Promise<void> {
    const { checkpoint, estimatedEntries } = snapshot;
    return this.#putSnapshot({
      ...snapshot,
      checkpoint: {
        ...checkpoint,
        completedTables: [...checkpoint.completedTables, table],
        // As they are told again when the snapshot is resumed.
        lastTableIndex: estimatedEntries,
        lastEntryIndex: checkpoint.entriesProcessed,
      },
    });
  }

  #fill(
    snapshot: StoredSnapshot,
    { type, schema, table, entries }: ColumnVersionsChunk | TombstoneChunk,
  ): Promise<void> {
    const rows = new RowChanges(this.#replica, snapshot.generation);
    const kind = type === 'tombstone' ? 'delete' : 'column';
    // A deletion has neither column nor value.
    for (const { pk, column, value, hlc } of entries as ColumnVersionsChunk['entries']) {
      rows.merge({ type: kind, schema, table, pk, column, value, hlc } as Change);
    }
    const { checkpoint } = snapshot;
    const entriesProcessed = checkpoint.entriesProcessed + entries.length;
    const next = { ...snapshot, checkpoint: { ...checkpoint, entriesProcessed } };
    return this.#putSnapshot(next, rows.operations(), rows.seen);
  }

  /** The rows of the snapshot take the place of all that was held. */
  async #finish({ generation, checkpoint }: StoredSnapshot): Promise<void> {
    const { snapshot: _, ...meta } = this.#replica.meta;
    const rows = new RowChanges(this.#replica, generation);
    for (const row of this.#replica.generation().rows.values()) {
      const own = rowAbove(row, HLC_MIN, meta.siteId);
      for (const change of own ? changesOf(own) : []) rows.keepOwn(change);
    }
    const { hlc: position } = checkpoint;
    const { isHeld } = rows;
    const next: Meta = { ...meta, generation, position, isHeld, lastSyncedAt: this.#port.now() };
    await this.#port.commit([...rows.operations(), entryOf(META, next), ...clear(meta.generation)]);
    this.#ahead.length = 0;
  }
}

/** What makes a replica ask for a snapshot. */
export function startingOver({ position: _, snapshot, ...meta }: Meta): StoreOperation[] {
  return [entryOf(META, meta), ...clear(snapshot?.generation)];
}

/** @param generation `undefined` for none */
function clear(generation: number | undefined): StoreOperation[] {
  if (generation === undefined) return [];
  return [ROW, PAGE, DDL].map((kind) => ({
    type: 'clear',
    prefix: generationPrefix(generation, kind),
  }));
}
