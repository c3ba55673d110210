/**
 * Merges a group of change sets within one store transaction: reads what they touch,
 * decides what wins, and puts rows, log records and catalog in one write.
 *
 * Everything here is tentative until the store has committed it: the catalog is a fork,
 * the head a copy.
 */

import { compareHlc, type HlcText, maxHlc } from '../clock/hlc.ts';
import { hlcSite } from '../clock/site-id.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import type { WireChangeSet, WireMigration } from '../wire/schemas.ts';
import type { ApplyResult } from '../wire/types.ts';
import { Catalog, migrationSlot, migrationToJson, type TableRecord } from './catalog.ts';
import { decodeHead, EMPTY_HEAD, type Head, type Identity, writeHead } from './head.ts';
import { HEAD_KEY, logKey, siteKey, tableKey } from './keys.ts';
import {
  authorOf,
  changeSetJson,
  encodeLogRecord,
  type LogRecord,
  SEVERAL_AUTHORS,
} from './log-record.ts';
import { type PreparedSet, planReads } from './merge-plan.ts';
import { nextPosition } from './position-clock.ts';
import { JsonNames, type PreparedChange, prepareChanges } from './prepare.ts';
import { type MergeOutcome, mergeCell, mergeTombstone } from './row.ts';
import { addressText, type RowAddress, RowSet, toRowKey } from './row-set.ts';
import { SiteStates } from './site-state.ts';
import { applyBoundary, toBoundaries } from './table-boundary.ts';
import { TableStatistics } from './table-statistics.ts';
import type { Place } from './table-timeline.ts';

/** The catalog, and the `catalogVersion` of the head that it was read with. */
export interface CatalogState {
  catalog: Catalog;
  version: number;
}

/** What takes the place of what was known, once it is durable. */
export interface Written {
  /** The newest position before. */
  before: HlcText;
  head: Head;
  catalog: Catalog;
  records: readonly LogRecord[];
}

export interface MergeContext {
  identity: Identity;
  allowResurrection: boolean;
  /** The server's wall time, in milliseconds. */
  now(): number;
}

/** A change with the table that it belongs to now. */
interface Placed {
  prepared: PreparedChange;
  table: TableRecord;
  address: RowAddress;
  text: string;
  place: Place;
}

export class MergeTransaction {
  readonly #records: LogRecord[] = [];
  readonly #transaction: KVTransaction;
  readonly #context: MergeContext;
  readonly #rows: RowSet;
  readonly #sites: SiteStates;
  readonly #names = new JsonNames();
  readonly #statistics = new TableStatistics();
  /** JSON of changes that were held and can be sent from now on. */
  readonly #shown: string[] = [];
  #hasChanged = false;
  #catalog: Catalog;
  #catalogVersion: number;
  #catalogForked = false;
  #head: Head = EMPTY_HEAD;
  #before: HlcText = EMPTY_HEAD.position;

  /** @param state the catalog as it was known last; if it turns out to be stale it is read again */
  constructor(transaction: KVTransaction, state: CatalogState, context: MergeContext) {
    this.#transaction = transaction;
    this.#context = context;
    this.#rows = new RowSet(transaction);
    this.#sites = new SiteStates(transaction);
    this.#catalog = state.catalog;
    this.#catalogVersion = state.version;
  }

  /** One result for each of `batches`, each a batch of one client's; and what to keep of it all. */
  async merge(
    batches: readonly (readonly WireChangeSet[])[],
  ): Promise<Written & { results: ApplyResult[] }> {
    const prepared = batches.map((batch) =>
      batch.map((changeSet) => ({
        changeSet,
        changes: prepareChanges(changeSet, this.#names),
      })),
    );
    await this.#load(prepared.flat());
    const results: ApplyResult[] = [];
    for (const batch of prepared) {
      const result = { applied: 0, skipped: 0, conflicts: 0, transactions: batch.length };
      for (const set of batch) await this.#mergeSet(set, result);
      results.push(result);
    }
    await this.#finish();
    const [before, head, catalog, records] = [
      this.#before,
      this.#head,
      this.#catalog,
      this.#records,
    ];
    return { results, before, head, catalog, records };
  }

  /**
   * Reads in one go all that the group will need, as far as no DDL in it moves tables about.
   * What was known of the catalog tells where to look; the head tells whether that still holds.
   */
  async #load(sets: readonly PreparedSet[]): Promise<void> {
    for (;;) {
      const { rows, sites, tableIds } = planReads(sets, this.#catalog);
      const keys = [
        HEAD_KEY,
        ...rows.map(toRowKey),
        ...sites.map(siteKey),
        ...tableIds.map(tableKey),
      ];
      const [head, ...values] = await this.#transaction.getMany(keys);
      this.#head = decodeHead(head);
      this.#before = this.#head.position;
      if (this.#head.catalogVersion === this.#catalogVersion) {
        for (const [i, row] of rows.entries()) this.#rows.add(row, keys[i + 1], values[i]);
        values.splice(0, rows.length);
        for (const [i, site] of sites.entries()) this.#sites.add(site, values[i]);
        values.splice(0, sites.length);
        for (const [i, id] of tableIds.entries()) this.#statistics.add(id, values[i]);
        return;
      }
      this.#catalog = await Catalog.load(this.#transaction);
      this.#catalogVersion = this.#head.catalogVersion;
    }
  }

  async #mergeSet({ changeSet, changes }: PreparedSet, result: ApplyResult): Promise<void> {
    const { identity, now } = this.#context;
    const position = nextPosition(this.#head.position, now(), identity.siteId);
    const migrations: string[] = [];
    const logged: HlcText[] = [];
    const held: HlcText[] = [];
    for (const migration of changeSet.schemaMigrations) {
      const outcome = await this.#mergeMigration(migration, position);
      result[outcome]++;
      if (outcome !== 'applied') continue;
      migrations.push(migrationToJson(migration));
      logged.push(migration.hlc);
    }
    const applied: string[] = [];
    let stale = false;
    for (const placed of await this.#place(changes)) {
      const outcome = placed === undefined ? 'skipped' : this.#mergeChange(placed, position);
      result[outcome]++;
      if (placed === undefined || outcome !== 'applied') continue;
      const { change, json } = placed.prepared;
      // Held for a dropped name: logged when the name is used again, after the DDL that does.
      if (placed.place.hidden) {
        held.push(change.hlc);
        continue;
      }
      if (placed.place.table !== change.table) stale = true;
      applied.push(json);
      logged.push(change.hlc);
    }
    this.#noteAuthored([...held, ...logged]);
    if (logged.length === 0) return;
    const { siteId, transactionId } = changeSet;
    const json = changeSetJson({ siteId, transactionId, position, changes: applied, migrations });
    const author = authorOf(logged);
    this.#append({ position, author, changeCount: logged.length, stale, json });
    this.#appendShown();
  }

  /** What was held for a dropped name is sent after the DDL that uses the name again. */
  #appendShown(): void {
    const changes = this.#shown.splice(0);
    if (changes.length === 0) return;
    const { identity, now } = this.#context;
    const position = nextPosition(this.#head.position, now(), identity.siteId);
    const transactionId = `shown:${position}`;
    const siteId = identity.siteIdText;
    const json = changeSetJson({ siteId, transactionId, position, changes, migrations: [] });
    const changeCount = changes.length;
    this.#append({ position, author: SEVERAL_AUTHORS, changeCount, stale: false, json });
  }

  /** The row of each change; `undefined` for a change to a table that was dropped later. */
  async #place(changes: readonly PreparedChange[]): Promise<(Placed | undefined)[]> {
    const placed = changes.map((prepared) => {
      const { change, identity } = prepared;
      const place = this.#catalog.timeline.resolve(change.schema, change.table, change.hlc);
      if (place === undefined) return undefined;
      const table = this.#tableNamed(change.schema, place.table);
      const address = { tableId: table.id, identity };
      return { prepared, place, table, address, text: addressText(address) };
    });
    const addresses = new Map<string, RowAddress>();
    for (const place of placed) if (place !== undefined) addresses.set(place.text, place.address);
    await this.#rows.load(addresses);
    return placed;
  }

  #tableNamed(schema: string, table: string): TableRecord {
    return this.#catalog.liveTable(schema, table) ?? this.#fork().createTable(schema, table);
  }

  #mergeChange({ prepared, table, text }: Placed, position: HlcText): MergeOutcome {
    const { change, column, value, pk } = prepared;
    const { hlc } = change;
    const loaded = this.#rows.get(text);
    if (loaded === undefined) throw new Error('a row was not loaded before it was merged');
    const { allowResurrection } = this.#context;
    const outcome =
      change.type === 'delete'
        ? mergeTombstone(loaded.row, { hlc, position, priorRow: value, pk }, allowResurrection)
        : mergeCell(loaded.row, column, { hlc, value: value ?? 'null', pk }, allowResurrection);
    if (outcome === 'applied') {
      loaded.changed = true;
      this.#statistics.wrote(table.id, hlc, this.#catalog);
    }
    return outcome;
  }

  async #mergeMigration(migration: WireMigration, position: HlcText): Promise<MergeOutcome> {
    const known = this.#catalog.migrations.get(migrationSlot(migration));
    if (known !== undefined && compareHlc(migration.hlc, known.hlc) <= 0) return 'skipped';
    const catalog = this.#fork();
    catalog.saveMigration(migration, this.#transaction);
    for (const boundary of toBoundaries(migration)) {
      this.#statistics.save(catalog, this.#transaction);
      const context = { catalog, rows: this.#rows, transaction: this.#transaction };
      this.#shown.push(...(await applyBoundary(boundary, context)));
      if (boundary.kind !== 'made') this.#head = { ...this.#head, staleUpTo: position };
    }
    return 'applied';
  }

  #fork(): Catalog {
    if (!this.#catalogForked) {
      this.#catalog = this.#catalog.fork();
      this.#catalogForked = true;
    }
    return this.#catalog;
  }

  #append(record: Omit<LogRecord, 'json'> & { json: string }): void {
    const { position } = record;
    const bytes = encodeLogRecord(record);
    this.#transaction.put(logKey(position), bytes);
    const json = bytes.subarray(bytes.indexOf(10) + 1);
    this.#records.push({ ...record, json });
    this.#head = { ...this.#head, position, logLength: this.#head.logLength + 1 };
  }

  #noteAuthored(hlcs: readonly HlcText[]): void {
    if (hlcs.length === 0) return;
    this.#hasChanged = true;
    const author = authorOf(hlcs);
    if (author === SEVERAL_AUTHORS) for (const hlc of hlcs) this.#sites.authored(hlcSite(hlc), hlc);
    else this.#sites.authored(author, hlcs.reduce(maxHlc));
  }

  async #finish(): Promise<void> {
    if (!this.#hasChanged) return;
    this.#rows.write(this.#transaction, (tableId, cells) =>
      this.#statistics.gained(tableId, cells, this.#catalog),
    );
    this.#statistics.save(this.#catalog, this.#transaction);
    await this.#sites.write(this.#transaction);
    if (this.#catalogForked) {
      this.#head = { ...this.#head, catalogVersion: this.#head.catalogVersion + 1 };
    }
    writeHead(this.#head, this.#transaction);
  }
}
