/**
 * What `onBeforeApplyChanges` reads of the batch's database: the stored rows, the accepted but not
 * yet stored batches of the same device, and what the hook has approved of this batch so far.
 */

import type { SiteIdText } from '../../clock/site-id.ts';
import type { Sender } from '../../engine/merge/foreign-authors.ts';
import type { Preview } from '../../engine/merge/preview.ts';
import { letGoOfEach } from '../../engine/records/let-go.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import type { BatchReader, StoredRow, TableName } from '../../hooks/reader.ts';
import { MAIN_SCHEMA } from '../../hooks/same-name.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import { type ChangeSet, encodeChangeSet } from '../../protocol/types.ts';
import { encodeValue, type SqlValue } from '../../protocol/values.ts';
import { untouchedOrigin } from '../../wire/lazy-change-set.ts';
import type { DatabaseAccess } from '../access/open-database.ts';
import type { HookRows } from '../budgets/hook-rows.ts';
import { storedRowOf, toStoredRow } from '../databases/database-reader.ts';

/** Batches that have their place in the queue and are not stored yet, by database and sender. */
export class AcceptedBatches {
  readonly #batchesBySite = new Map<SiteIdText, Set<AcceptedBatch>>();

  add(databaseId: string, { siteId }: Sender, changeSets: readonly WireChangeSet[]): AcceptedBatch {
    const batch = { databaseId, siteId, changeSets };
    const batches = this.#batchesBySite.get(siteId);
    if (batches === undefined) this.#batchesBySite.set(siteId, new Set([batch]));
    else batches.add(batch);
    return batch;
  }

  /** To be called when it is stored, or has failed. */
  remove(batch: AcceptedBatch): void {
    const { siteId } = batch;
    const batches = this.#batchesBySite.get(siteId);
    batches?.delete(batch);
    if (batches?.size === 0) this.#batchesBySite.delete(siteId);
    // The set has thrown away a table that still has it, and which is old: it would live as long.
    batch.changeSets = [];
  }

  of(databaseId: string, { siteId }: Sender): WireChangeSet[] {
    const batches = [...(this.#batchesBySite.get(siteId) ?? [])];
    return batches.flatMap((batch) => (batch.databaseId === databaseId ? batch.changeSets : []));
  }
}

export interface AcceptedBatch {
  readonly databaseId: string;
  readonly siteId: SiteIdText;
  changeSets: readonly WireChangeSet[];
}

export interface PreviewReaderOptions {
  database: DatabaseAccess;
  sender: Sender;
  accepted: AcceptedBatches;
  /** The memory for the rows. */
  rows: HookRows;
}

/** Opens, reads and merges nothing before a hook reads: most never do. */
export class PreviewReader implements BatchReader {
  readonly #database: DatabaseAccess;
  readonly #sender: Sender;
  readonly #accepted: AcceptedBatches;
  readonly #rows: HookRows;
  /** What the present preview contains, and the next one must. */
  #sets: WireChangeSet[] | undefined;
  #added: ChangeSet[] = [];
  #preview: Preview | undefined;

  constructor({ database, sender, accepted, rows }: PreviewReaderOptions) {
    this.#database = database;
    this.#sender = sender;
    this.#accepted = accepted;
    this.#rows = rows;
  }

  add(changeSet: ChangeSet): void {
    this.#added.push(changeSet);
  }

  async row({
    schema = MAIN_SCHEMA,
    table,
    pk,
  }: TableName & { pk: readonly SqlValue[] }): Promise<StoredRow | undefined> {
    const key = pk.map(encodeValue);
    for (;;) {
      const preview = await this.#current();
      const row = await this.#rows.one(async (bytesMax) => {
        const found = await preview.row({ schema, table, pk: key }, bytesMax);
        return found && toStoredRow(found);
      });
      if (preview.isCurrent) return row;
    }
  }

  rows({ schema = MAIN_SCHEMA, table }: TableName): AsyncIterable<StoredRow> {
    const read = this.#rows.all(async (memory) => {
      const preview = await this.#current();
      return preview.rows({ schema, table }, memory);
    });
    return letGoOfEach(read, storedRowOf);
  }

  async sameTable(a: TableName, b: TableName): Promise<boolean> {
    const preview = await this.#current();
    return preview.isOneTable({ schema: MAIN_SCHEMA, ...a }, { schema: MAIN_SCHEMA, ...b });
  }

  async #current(): Promise<Preview> {
    const { manager } = await this.#database.open();
    this.#sets ??= this.#ownOf(this.#accepted.of(this.#database.id, this.#sender), manager);
    // Without an `await` from here on: no read may see a preview that lacks what was added before.
    let preview = this.#preview;
    if (!preview?.isCurrent) {
      preview = manager.tables.preview();
      preview.add(this.#sets);
      this.#preview = preview;
    }
    const added = this.#added.map((set) => untouchedOrigin(set) ?? encodeChangeSet(set));
    this.#added = [];
    const own = this.#ownOf(added, manager);
    preview.add(own);
    for (const set of own) this.#sets.push(set);
    return preview;
  }

  /**
   * Leaves out what another device or the coordinator has dated: it takes no effect, or is stored
   * already.
   */
  #ownOf(sets: readonly WireChangeSet[], { identity }: SyncManager): WireChangeSet[] {
    return [...this.#sender.pick(sets, 'own', identity.hlcs)];
  }
}
