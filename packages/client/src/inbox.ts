/**
 * Takes in what the server sends: what one message holds becomes one batch of the store, with the
 * position that it leads to.
 */

import { later, type SiteClock } from './clock.ts';
import type { ConnectionPort } from './connection/connection.ts';
import type {
  Change,
  Checkpoint,
  HeaderChunk,
  Migration,
  SentChangeSet,
  SnapshotChunk,
} from './protocol/messages.ts';
import {
  DDL,
  generationPrefix,
  META,
  type Meta,
  rowKeyOf,
  type StoredRow,
  type StoredSnapshot,
} from './replica/entries.ts';
import type { Replica } from './replica/replica.ts';
import { merge } from './replica/rows.ts';
import type { StoreOperation } from './stores/store.ts';

export interface InboxPort {
  /** @returns resolves when the operations are durable */
  commit(operations: StoreOperation[]): Promise<void>;
  now(): number;
}

/** Rows of one generation that are changed together. */
export class RowChanges {
  readonly #replica: Replica;
  readonly #generation: number;
  readonly #rows = new Map<string, StoredRow>();

  constructor(replica: Replica, generation = replica.meta.generation) {
    this.#replica = replica;
    this.#generation = generation;
  }

  row(key: string): StoredRow | undefined {
    return this.#rows.get(key) ?? this.#replica.confirmed(key, this.#generation);
  }

  merge(change: Change): void {
    const key = rowKeyOf(change);
    const before = this.row(key);
    const after = merge(before, change);
    if (after !== undefined && after !== before) this.#rows.set(key, after);
  }

  operations(): StoreOperation[] {
    const prefix = generationPrefix(this.#generation);
    return [...this.#rows].map(([key, value]) => ({ type: 'put', key: prefix + key, value }));
  }
}

export class Inbox implements ConnectionPort {
  readonly #replica: Replica;
  readonly #clock: SiteClock;
  readonly #port: InboxPort;
  #migrations = 0;

  constructor(replica: Replica, clock: SiteClock, port: InboxPort) {
    this.#replica = replica;
    this.#clock = clock;
    this.#port = port;
    this.#migrations = replica.migrations.length;
  }

  position(): string | undefined {
    const { position, snapshot } = this.#replica.meta;
    return snapshot === undefined ? position : undefined;
  }

  checkpoint(): Checkpoint | undefined {
    return this.#replica.meta.snapshot?.checkpoint;
  }

  async receive(changeSets: readonly SentChangeSet[], isOrdered: boolean): Promise<void> {
    const rows = new RowChanges(this.#replica);
    const operations: StoreOperation[] = [];
    let { seen, position } = this.#replica.meta;
    for (const { hlc, changes, schemaMigrations } of changeSets) {
      for (const migration of schemaMigrations) operations.push(this.#take(migration));
      for (const change of changes) {
        rows.merge(change);
        seen = later(seen, change.hlc);
      }
      if (isOrdered) position = later(position, hlc);
    }
    if (seen !== undefined) this.#clock.observe(seen);
    const meta: Meta = { ...this.#replica.meta, seen, position };
    if (isOrdered) meta.lastSyncedAt = this.#port.now();
    operations.push(...rows.operations(), { type: 'put', key: META, value: meta });
    await this.#port.commit(operations);
  }

  #take(migration: Migration): StoreOperation {
    const number = String(++this.#migrations).padStart(10, '0');
    return { type: 'put', key: `${DDL}${number}`, value: migration };
  }

  async startOver(): Promise<void> {
    const { position: _, ...meta } = this.#replica.meta;
    await this.#port.commit([{ type: 'put', key: META, value: meta }]);
  }

  async receiveChunk(chunk: SnapshotChunk): Promise<void> {
    if (chunk.type === 'header') return this.#begin(chunk);
    const { snapshot } = this.#replica.meta;
    if (snapshot === undefined) throw new Error('a snapshot began without its header');
    switch (chunk.type) {
      case 'schema-migration':
        return this.#port.commit([this.#take(chunk.migration)]);
      case 'table-start':
        return this.#note(snapshot, { estimatedEntries: chunk.estimatedEntries });
      case 'column-versions':
        return this.#fill(
          snapshot,
          chunk.entries.map((entry): Change => {
            const { schema, table } = chunk;
            return { type: 'column', schema, table, ...entry };
          }),
        );
      case 'table-end':
        return this.#note(snapshot, { completedTable: `${chunk.schema}.${chunk.table}` });
      case 'tombstone':
        return this.#fill(
          snapshot,
          chunk.entries.map(({ pk, hlc }): Change => {
            const { schema, table } = chunk;
            return { type: 'delete', schema, table, pk, hlc };
          }),
        );
      case 'footer':
        return this.#finish(snapshot);
    }
  }

  async #begin(header: HeaderChunk): Promise<void> {
    const { meta } = this.#replica;
    const operations: StoreOperation[] = [{ type: 'clear', prefix: DDL }];
    this.#migrations = 0;
    const before = meta.snapshot;
    if (before !== undefined && before.checkpoint.snapshotId === header.snapshotId) {
      return this.#port.commit(operations);
    }
    const generation = Math.max(meta.generation, before?.generation ?? 0) + 1;
    if (before !== undefined) {
      operations.push({ type: 'clear', prefix: generationPrefix(before.generation) });
    }
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
    operations.push({ type: 'put', key: META, value: { ...meta, snapshot } });
    await this.#port.commit(operations);
  }

  async #note(
    snapshot: StoredSnapshot,
    {
      estimatedEntries = 0,
      completedTable,
    }: { estimatedEntries?: number; completedTable?: string },
  ): Promise<void> {
    const { checkpoint } = snapshot;
    const completedTables =
      completedTable === undefined
        ? checkpoint.completedTables
        : [...checkpoint.completedTables, completedTable];
    const next: StoredSnapshot = {
      ...snapshot,
      estimatedEntries: snapshot.estimatedEntries + estimatedEntries,
      checkpoint: { ...checkpoint, completedTables },
    };
    await this.#port.commit([
      { type: 'put', key: META, value: { ...this.#replica.meta, snapshot: next } },
    ]);
  }

  async #fill(snapshot: StoredSnapshot, changes: readonly Change[]): Promise<void> {
    const rows = new RowChanges(this.#replica, snapshot.generation);
    let { seen } = this.#replica.meta;
    for (const change of changes) {
      rows.merge(change);
      seen = later(seen, change.hlc);
    }
    if (seen !== undefined) this.#clock.observe(seen);
    const { checkpoint } = snapshot;
    const entriesProcessed = checkpoint.entriesProcessed + changes.length;
    const next = { ...snapshot, checkpoint: { ...checkpoint, entriesProcessed } };
    const meta = { ...this.#replica.meta, seen, snapshot: next };
    await this.#port.commit([...rows.operations(), { type: 'put', key: META, value: meta }]);
  }

  async #finish({ generation, checkpoint }: StoredSnapshot): Promise<void> {
    const { snapshot: _, ...meta } = this.#replica.meta;
    const next: Meta = {
      ...meta,
      generation,
      position: checkpoint.hlc,
      lastSyncedAt: this.#port.now(),
    };
    await this.#port.commit([
      { type: 'put', key: META, value: next },
      { type: 'clear', prefix: generationPrefix(meta.generation) },
    ]);
  }
}
