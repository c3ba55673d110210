/**
 * Merges a group of change sets within one store transaction: reads what they touch,
 * decides what wins, and puts rows, log records and catalog in one write.
 *
 * Everything here is tentative until the store has committed it: the catalog is a fork,
 * the head a copy.
 */

import { compareHlc, type HlcText, maxHlc } from '../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../clock/site-id.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../wire/schemas.ts';
import type { ApplyResult } from '../wire/types.ts';
import { pkIdentity } from '../wire/values.ts';
import { answerHlc, takeBack } from './authored.ts';
import { Catalog, migrationSlot, migrationToJson, type TableRecord } from './catalog.ts';
import { deleteChangeJson, JsonNames } from './change-json.ts';
import { decodeHead, type Head, type Identity } from './head.ts';
import { HEAD_KEY, siteKey, tableKey } from './keys.ts';
import { authorOf, type LogRecord, SEVERAL_AUTHORS } from './log-record.ts';
import { LogWriter } from './log-writer.ts';
import { isOfSameRow, planReads } from './merge-plan.ts';
import {
  createRow,
  isExpired,
  type MergeOutcome,
  mergeCell,
  mergeTombstone,
  type Row,
} from './row.ts';
import { addressText, type RowAddress, RowSet, toRowKey } from './row-set.ts';
import { SiteStates } from './site-state.ts';
import { applyBoundary, type HeldChange, toBoundaries } from './table-boundary.ts';
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

/** What one client sent, after the hooks have spoken. */
export interface Batch {
  changeSets: readonly WireChangeSet[];
  /** Refused, and to be taken back where they were made. */
  refused: readonly WireChangeSet[];
}

/** What became of a batch. */
export interface BatchOutcome extends ApplyResult {
  /** The newest position in the log when it had been merged. */
  position: HlcText;
}

export interface MergeContext {
  identity: Identity;
  allowResurrection: boolean;
  /** The server's wall time, in milliseconds. */
  now(): number;
}

/** Where changes belong now. Those of one row that follow each other share it. */
interface Target {
  table: TableRecord;
  place: Place;
  address: RowAddress;
  text: string;
  /** The key as these changes spell it, JSON. */
  pk: string;
}

export class MergeTransaction {
  readonly #transaction: KVTransaction;
  readonly #context: MergeContext;
  readonly #rows: RowSet;
  readonly #sites: SiteStates;
  readonly #names = new JsonNames();
  readonly #statistics = new TableStatistics();
  /** Changes that were held and can be sent from now on. */
  readonly #shown: HeldChange[] = [];
  #hasChanged = false;
  /** Changes in the log that have been beaten by now. */
  #replaced = 0;
  #catalog: Catalog;
  #catalogVersion: number;
  #catalogForked = false;
  readonly #log: LogWriter;

  /** @param state the catalog as it was known last; if it turns out to be stale it is read again */
  constructor(transaction: KVTransaction, state: CatalogState, context: MergeContext) {
    this.#transaction = transaction;
    this.#context = context;
    this.#rows = new RowSet(transaction);
    this.#sites = new SiteStates(transaction);
    this.#log = new LogWriter(transaction, context.identity, () => context.now());
    this.#catalog = state.catalog;
    this.#catalogVersion = state.version;
  }

  /** One outcome for each of `batches`, each a batch of one client's; and what to keep of it all. */
  async merge(batches: readonly Batch[]): Promise<Written & { outcomes: BatchOutcome[] }> {
    const all = batches.flatMap(({ changeSets, refused }) => [...changeSets, ...refused]);
    const before = await this.#load(all);
    const outcomes: BatchOutcome[] = [];
    for (const { changeSets, refused } of batches) {
      const result = emptyResult(changeSets.length);
      for (const set of changeSets) await this.#mergeSet(set, result);
      for (const set of refused) await this.#takeBack(set);
      outcomes.push({ ...result, position: this.#log.head.position });
    }
    await this.#finish();
    const { head, records } = this.#log;
    return { outcomes, before, head, catalog: this.#catalog, records };
  }

  /** Answers refused changes with what is stored, as the coordinator's own. */
  async #takeBack(changeSet: WireChangeSet): Promise<void> {
    const { siteId, siteIdText } = this.#context.identity;
    const restored: WireChange[] = [];
    /** One for each row that isn't there, however many of its cells were refused. */
    const deletes = new Map<string, WireChange>();
    const targets = await this.#targetsOf(changeSet.changes);
    for (const [i, change] of changeSet.changes.entries()) {
      const target = targets[i];
      if (target === undefined || target.place.hidden) continue;
      const row = this.#rows.get(target.text)?.row ?? createRow();
      const named = { ...change, table: target.place.table };
      for (const answer of takeBack(named, row, siteId)) {
        if (answer.type === 'delete') deletes.set(target.text, answer);
        else restored.push(answer);
      }
    }
    const answers = [...restored, ...deletes.values()];
    const transactionId = `reverted:${changeSet.transactionId}`;
    const hlc = answerHlc(changeSet.hlc, siteId);
    const own = { siteId: siteIdText, transactionId, hlc, changes: answers, schemaMigrations: [] };
    await this.#mergeSet(own, emptyResult(1), changeSet.siteId);
  }

  /**
   * Reads in one go all that the group will need, as far as no DDL in it moves tables about.
   * What was known of the catalog tells where to look; the head tells whether that still holds.
   */
  async #load(sets: readonly WireChangeSet[]): Promise<HlcText> {
    for (;;) {
      const { rows, sites, tableIds } = planReads(sets, this.#catalog);
      const keys = [
        HEAD_KEY,
        ...rows.map(toRowKey),
        ...sites.map(siteKey),
        ...tableIds.map(tableKey),
      ];
      const [head, ...values] = await this.#transaction.getMany(keys);
      const { position, catalogVersion } = this.#begin(head);
      if (catalogVersion === this.#catalogVersion) {
        for (const [i, row] of rows.entries()) this.#rows.add(row, keys[i + 1], values[i]);
        values.splice(0, rows.length);
        for (const [i, site] of sites.entries()) this.#sites.add(site, values[i]);
        values.splice(0, sites.length);
        for (const [i, id] of tableIds.entries()) this.#statistics.add(id, values[i]);
        return position;
      }
      this.#catalog = await Catalog.load(this.#transaction);
      this.#catalogVersion = catalogVersion;
    }
  }

  #begin(bytes: Uint8Array | undefined): Head {
    const head = decodeHead(bytes, this.#context.identity.siteIdText);
    this.#log.begin(head);
    return head;
  }

  /** @param answers the site whose changes it takes back, if it does */
  async #mergeSet(
    changeSet: WireChangeSet,
    result: ApplyResult,
    answers?: SiteIdText,
  ): Promise<void> {
    const position = this.#log.nextPosition();
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
    const applied: WireChange[] = [];
    /** Rows whose deletion the author has not heard of, with the schema's name. */
    const untold = new Map<Target, string>();
    let stale = false;
    const targets = await this.#targetsOf(changeSet.changes);
    for (const [i, change] of changeSet.changes.entries()) {
      const target = targets[i];
      const outcome =
        target === undefined ? 'skipped' : this.#mergeChange(change, target, position);
      result[outcome]++;
      if (target === undefined) continue;
      if (outcome !== 'applied') {
        const isUntold = this.#isDeletionUntold(change, target, changeSet.siteId, answers);
        if (isUntold) untold.set(target, change.schema);
        continue;
      }
      // Held for a dropped name: logged when the name is used again, after the DDL that does.
      if (target.place.hidden) {
        held.push(change.hlc);
        continue;
      }
      if (target.place.table !== change.table) stale = true;
      applied.push(change);
      logged.push(change.hlc);
    }
    this.#noteAuthored([...held, ...logged]);
    if (logged.length > 0) {
      const { siteId, transactionId } = changeSet;
      const hlcs = logged;
      // What was parsed is known to have the protocol's fields only.
      const json = JSON.stringify(applied);
      const entry = { position, siteId, transactionId, hlcs, changes: json, migrations, stale };
      this.#log.append(entry);
    }
    // What was held for a dropped name is sent after the DDL that uses the name again.
    this.#append('shown', this.#shown.splice(0));
    this.#append('deleted', this.#deleteAgain(untold));
  }

  /** What is sent by the coordinator itself, though others have written it. */
  #append(kind: 'shown' | 'deleted', changes: readonly HeldChange[]): void {
    if (changes.length === 0) return;
    this.#hasChanged = true;
    const position = this.#log.nextPosition();
    this.#log.append({
      position,
      siteId: this.#context.identity.siteIdText,
      transactionId: `${kind}:${position}`,
      hlcs: changes.map(({ hlc }) => hlc),
      changes: `[${changes.map(({ json }) => json).join(',')}]`,
      migrations: [],
      stale: false,
    });
  }

  /** The row of each change, loaded; `undefined` for a change to a table that was dropped later. */
  async #targetsOf(changes: readonly WireChange[]): Promise<(Target | undefined)[]> {
    const missing = new Map<string, RowAddress>();
    const targets: (Target | undefined)[] = [];
    let last: WireChange | undefined;
    let target: Target | undefined;
    for (const change of changes) {
      // Where names have changed their meaning it takes the HLC to tell the table.
      const isSame = this.#catalog.timeline.isEmpty && last && isOfSameRow(change, last);
      if (!isSame) {
        target = this.#targetOf(change);
        if (target !== undefined && this.#rows.get(target.text) === undefined) {
          missing.set(target.text, target.address);
        }
      }
      last = change;
      targets.push(target);
    }
    if (missing.size > 0) await this.#rows.load(missing);
    return targets;
  }

  #targetOf({ schema, table: name, hlc, pk }: WireChange): Target | undefined {
    const place = this.#catalog.timeline.resolve(schema, name, hlc);
    if (place === undefined) return undefined;
    const table = this.#tableNamed(schema, place.table);
    const address = { tableId: table.id, identity: pkIdentity(pk) };
    return { place, table, address, text: addressText(address), pk: JSON.stringify(pk) };
  }

  #tableNamed(schema: string, table: string): TableRecord {
    return this.#catalog.liveTable(schema, table) ?? this.#fork().createTable(schema, table);
  }

  #mergeChange(change: WireChange, { table, text, pk }: Target, position: HlcText): MergeOutcome {
    const { hlc } = change;
    const loaded = this.#rows.get(text);
    if (loaded === undefined) throw new Error('a row was not loaded before it was merged');
    const { allowResurrection } = this.#context;
    const heldBefore = countHeld(loaded.row);
    const outcome =
      change.type === 'delete'
        ? mergeTombstone(
            loaded.row,
            { hlc, position, priorRow: toJson(change.priorRow), pk },
            allowResurrection,
          )
        : mergeCell(
            loaded.row,
            this.#names.json(change.column),
            { hlc, value: toJson(change.value) ?? 'null', pk },
            allowResurrection,
          );
    if (outcome === 'applied') {
      loaded.changed = true;
      this.#replaced += 1 + heldBefore - countHeld(loaded.row);
      this.#statistics.wrote(table.id, hlc, this.#catalog);
    }
    return outcome;
  }

  /**
   * Whether a change was skipped for a deletion that its site may not have heard of: one that has
   * expired, or one that its last snapshot left out because the row lives again.
   */
  #isDeletionUntold(
    { type, hlc }: WireChange,
    { text, place }: Target,
    author: SiteIdText,
    answers: SiteIdText | undefined,
  ): boolean {
    const { tombstone, cells } = this.#rows.get(text)?.row ?? createRow();
    if (place.hidden || tombstone === undefined) return false;
    // Who deletes a row has it deleted, whether that counts or not.
    if (type === 'delete' && answers === undefined) return false;
    // A change that is refused once more is answered with the very deletion that it was before.
    const order = compareHlc(hlc, tombstone.hlc);
    if (order > 0 || (order === 0 && answers === undefined)) return false;
    const { position } = tombstone;
    if (position === undefined) return true;
    const snapshot = this.#sites.snapshotOf(answers ?? author);
    return cells.size > 0 && snapshot !== undefined && compareHlc(snapshot, position) >= 0;
  }

  /** What was deleted is told once more, or who has not heard of it would go on holding it. */
  #deleteAgain(untold: ReadonlyMap<Target, string>): HeldChange[] {
    if (untold.size === 0) return [];
    const position = this.#log.nextPosition();
    const told = new Set<string>();
    return [...untold].flatMap(([{ text, place }, schemaName]) => {
      if (told.has(text)) return [];
      told.add(text);
      const loaded = this.#rows.get(text);
      const tombstone = loaded?.row.tombstone;
      if (loaded === undefined || tombstone === undefined) return [];
      loaded.row.tombstone = { ...tombstone, position };
      loaded.changed = true;
      const { hlc, pk } = tombstone;
      const schema = this.#names.json(schemaName);
      const table = this.#names.json(place.table);
      return { hlc, json: deleteChangeJson({ schema, table, pk, hlc }, undefined) };
    });
  }

  async #mergeMigration(migration: WireMigration, position: HlcText): Promise<MergeOutcome> {
    const known = this.#catalog.migrations.get(migrationSlot(migration));
    if (known !== undefined && compareHlc(migration.hlc, known.hlc) <= 0) return 'skipped';
    const catalog = this.#fork();
    catalog.saveMigration(migration, this.#transaction);
    for (const boundary of toBoundaries(migration)) {
      this.#statistics.save(catalog, this.#transaction);
      const context = { catalog, rows: this.#rows, transaction: this.#transaction };
      if (boundary.kind === 'dropped') {
        this.#replaced += catalog.liveTable(boundary.schema, boundary.table)?.cells ?? 0;
      }
      this.#shown.push(...(await applyBoundary(boundary, context)));
      if (boundary.kind !== 'made') this.#log.noteStale(position);
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
    this.#log.noteReplaced(this.#replaced);
    this.#log.finish(this.#catalogForked);
  }
}

/** Changes that the row is made of. */
function countHeld({ cells, tombstone }: Row): number {
  return cells.size + (tombstone === undefined || isExpired(tombstone) ? 0 : 1);
}

/** @returns `undefined` for nothing */
function toJson(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

function emptyResult(transactions: number): ApplyResult {
  return { applied: 0, skipped: 0, conflicts: 0, transactions };
}
