/**
 * Merges a group of change sets within one store transaction: reads what they touch,
 * decides what wins, and puts rows, log records and catalog in one write.
 *
 * Everything here is tentative until the store has committed it: the catalog is a fork,
 * the head a copy.
 */

import { compareHlc, HLC_MIN, type HlcText } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import type {
  WireChange,
  WireChangeSet,
  WireColumnChange,
  WireDeleteChange,
  WireMigration,
} from '../wire/schemas.ts';
import type { ApplyResult } from '../wire/types.ts';
import { answerHlc, takeBack } from './authored.ts';
import { type Catalog, migrationSlot, migrationToJson } from './catalog.ts';
import { CatalogDraft, type CatalogState } from './catalog-draft.ts';
import { ChangeListJson, JsonNames } from './change-json.ts';
import { type ChangeTarget, targetsOf } from './change-target.ts';
import { decodeHead, type Head, type Identity } from './head.ts';
import { HEAD_KEY, siteKey, tableKey } from './keys.ts';
import { LogDraft } from './log-draft.ts';
import { authorOf, type LogRecord } from './log-record.ts';
import { LogWriter } from './log-writer.ts';
import { planReads } from './merge-plan.ts';
import type { NewestBySite } from './newest-by-site.ts';
import { isExpired, type MergeOutcome, mergeCell, mergeTombstone, type Row } from './row.ts';
import { type LoadedRow, RowSet, toRowKey } from './row-set.ts';
import { SiteStates } from './site-state.ts';
import { applyBoundary, type HeldChange, toBoundaries } from './table-boundary.ts';
import { TableStatistics } from './table-statistics.ts';
import { deleteAgain, isDeletionUntold, type UntoldDeletion } from './untold-deletions.ts';

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
  readonly #catalog: CatalogDraft;
  readonly #log: LogWriter;

  /** @param state the catalog as it was known last; if it turns out to be stale it is read again */
  constructor(transaction: KVTransaction, state: CatalogState, context: MergeContext) {
    this.#transaction = transaction;
    this.#context = context;
    this.#rows = new RowSet(transaction);
    this.#sites = new SiteStates(transaction);
    this.#log = new LogWriter(transaction, () => context.now());
    this.#catalog = new CatalogDraft(state);
  }

  /** One outcome for each of `batches`, each a batch of one client's; and what to keep of it all. */
  async merge(batches: readonly Batch[]): Promise<Written & { outcomes: BatchOutcome[] }> {
    const all: WireChangeSet[] = [];
    for (const { changeSets, refused } of batches) {
      for (const set of changeSets) all.push(set);
      for (const set of refused) all.push(set);
    }
    const before = await this.#load(all);
    const outcomes: BatchOutcome[] = [];
    for (const { changeSets, refused } of batches) {
      const outcome = emptyOutcome(changeSets.length);
      for (const set of changeSets) await this.#mergeSet(set, outcome);
      for (const set of refused) await this.#takeBack(set);
      outcome.position = this.#log.head.position;
      outcomes.push(outcome);
    }
    await this.#finish();
    const { head, records } = this.#log;
    return { outcomes, before, head, catalog: this.#catalog.current, records };
  }

  /** Answers refused changes with what is stored, as the coordinator's own. */
  async #takeBack(changeSet: WireChangeSet): Promise<void> {
    const { siteId, siteIdText } = this.#context.identity;
    const restored: WireChange[] = [];
    /** One for each row that isn't there, however many of its cells were refused. */
    const deletes = new Map<string, WireChange>();
    const targets = targetsOf(changeSet.changes, this.#catalog, this.#names);
    await this.#loadRows(targets);
    for (const [i, change] of changeSet.changes.entries()) {
      const target = targets[i];
      if (target === undefined || target.place.hidden) continue;
      const { row } = this.#rowOf(target);
      const named = { ...change, table: target.place.table };
      for (const answer of takeBack(named, row, siteId)) {
        if (answer.type === 'delete') deletes.set(target.address.text, answer);
        else restored.push(answer);
      }
    }
    const answers = [...restored, ...deletes.values()];
    const transactionId = `reverted:${changeSet.transactionId}`;
    const hlc = answerHlc(changeSet.hlc, siteId);
    const own = { siteId: siteIdText, transactionId, hlc, changes: answers, schemaMigrations: [] };
    await this.#mergeSet(own, emptyOutcome(1), changeSet.siteId);
  }

  /**
   * Reads in one go all that the group will need, as far as no DDL in it moves tables about.
   * What was known of the catalog tells where to look; the head tells whether that still holds.
   */
  async #load(sets: readonly WireChangeSet[]): Promise<HlcText> {
    for (;;) {
      const { rows, sites, tableIds } = planReads(sets, this.#catalog.current);
      const keys = [
        HEAD_KEY,
        ...rows.map(toRowKey),
        ...sites.map(siteKey),
        ...tableIds.map(tableKey),
      ];
      const [head, ...values] = await this.#transaction.getMany(keys);
      const { position, catalogVersion } = this.#begin(head);
      if (!(await this.#catalog.bringTo(catalogVersion, this.#transaction))) continue;
      for (const [i, row] of rows.entries()) this.#rows.add(row, keys[i + 1], values[i]);
      values.splice(0, rows.length);
      for (const [i, site] of sites.entries()) this.#sites.add(site, values[i]);
      values.splice(0, sites.length);
      for (const [i, id] of tableIds.entries()) this.#statistics.add(id, values[i]);
      return position;
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
    const draft = new LogDraft(this.#log.nextPosition());
    for (const migration of changeSet.schemaMigrations) {
      const outcome = await this.#mergeMigration(migration, draft.position);
      result[outcome]++;
      if (outcome === 'applied') draft.addMigration(migration.hlc, migrationToJson(migration));
    }
    const targets = targetsOf(changeSet.changes, this.#catalog, this.#names);
    await this.#loadRows(targets);
    const untold = this.#mergeChanges(changeSet, targets, draft, result, answers);
    this.#noteAuthored(draft);
    if (!draft.isEmpty) {
      const { siteId, transactionId } = changeSet;
      const { position, author, changes, migrations, stale } = draft;
      this.#log.append({ position, siteId, transactionId, author, changes, migrations, stale });
    }
    // What was held for a dropped name is sent after the DDL that uses the name again.
    this.#append('shown', this.#shown.splice(0));
    if (untold.length > 0) {
      this.#append('deleted', deleteAgain(untold, this.#log.nextPosition(), this.#names));
    }
  }

  /** @returns the deletions that the author has not heard of */
  #mergeChanges(
    changeSet: WireChangeSet,
    targets: readonly (ChangeTarget | undefined)[],
    draft: LogDraft,
    result: ApplyResult,
    answers: SiteIdText | undefined,
  ): readonly UntoldDeletion[] {
    const untold: UntoldDeletion[] = [];
    const { changes, siteId } = changeSet;
    const writer = {
      isAnswer: answers !== undefined,
      snapshot: () => this.#sites.snapshotOf(answers ?? siteId),
    };
    let current: { target: ChangeTarget; loaded: LoadedRow; newest: NewestBySite } | undefined;
    for (const [i, change] of changes.entries()) {
      const target = targets[i];
      if (target === undefined) {
        result.skipped++;
        continue;
      }
      const { table, place } = target;
      if (current?.target !== target) {
        const newest = draft.newestOf(table.id, place.hidden);
        current = { target, loaded: this.#rowOf(target), newest };
      }
      const { loaded, newest } = current;
      const outcome =
        change.type === 'delete'
          ? this.#mergeDelete(change, target, loaded, draft)
          : this.#mergeColumn(change, target, loaded, draft);
      result[outcome]++;
      if (outcome === 'applied') {
        loaded.changed = true;
        newest.add(change.hlc);
        if (place.table !== change.table && !place.hidden) draft.stale = true;
      } else if (isDeletionUntold(change, place, loaded.row, writer)) {
        untold.push({ target, loaded, schemaName: change.schema });
      }
    }
    return untold;
  }

  /** Logged, unless it is held for a dropped name: then when the name is used again, after the DDL that does. */
  #mergeColumn(
    change: WireColumnChange,
    { place, pk, json }: ChangeTarget,
    { row }: LoadedRow,
    { changes }: LogDraft,
  ): MergeOutcome {
    const { hlc } = change;
    const { name, member } = this.#names.column(change.column);
    const value = JSON.stringify(change.value);
    const cellsBefore = row.cells.size;
    const cell = { hlc, value, pk };
    const outcome = mergeCell(row, name, cell, this.#context.allowResurrection);
    if (outcome !== 'applied') return outcome;
    this.#replaced += 1 + cellsBefore - row.cells.size;
    if (!place.hidden) changes.addColumn(json, change, member, value);
    return outcome;
  }

  #mergeDelete(
    change: WireDeleteChange,
    { place, pk, json }: ChangeTarget,
    { row }: LoadedRow,
    { changes, position }: LogDraft,
  ): MergeOutcome {
    const { hlc } = change;
    const priorRow = change.priorRow && JSON.stringify(change.priorRow);
    const heldBefore = countHeld(row);
    const tombstone = { hlc, position, priorRow, pk };
    const outcome = mergeTombstone(row, tombstone, this.#context.allowResurrection);
    if (outcome !== 'applied') return outcome;
    this.#replaced += 1 + heldBefore - countHeld(row);
    if (!place.hidden) changes.addDelete(json, hlc, priorRow);
    return outcome;
  }

  /** What is sent by the coordinator itself, though others have written it. */
  #append(kind: 'shown' | 'deleted', held: readonly HeldChange[]): void {
    if (held.length === 0) return;
    this.#hasChanged = true;
    const position = this.#log.nextPosition();
    const changes = new ChangeListJson();
    for (const change of held) change.addTo(changes);
    this.#log.append({
      ...{ position, changes, migrations: [], stale: false },
      siteId: this.#context.identity.siteIdText,
      transactionId: `${kind}:${position}`,
      author: authorOf(held.map(({ hlc }) => hlc)),
    });
  }

  /** Most of the time the group has read them already. */
  #loadRows(targets: readonly (ChangeTarget | undefined)[]): Promise<void> | undefined {
    const isMissing = (target: ChangeTarget | undefined) =>
      target !== undefined && this.#rows.get(target.address) === undefined;
    if (!targets.some(isMissing)) return undefined;
    return this.#rows.load(targets.flatMap((target) => target?.address ?? []));
  }

  #rowOf({ address }: ChangeTarget): LoadedRow {
    const loaded = this.#rows.get(address);
    if (loaded === undefined) throw new Error('a row was not loaded before it was merged');
    return loaded;
  }

  async #mergeMigration(migration: WireMigration, position: HlcText): Promise<MergeOutcome> {
    const known = this.#catalog.current.migrations.get(migrationSlot(migration));
    if (known !== undefined && compareHlc(migration.hlc, known.hlc) <= 0) return 'skipped';
    const catalog = this.#catalog.fork();
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

  #noteAuthored(draft: LogDraft): void {
    for (const [tableId, { entries }] of draft.newest) {
      for (const [site, hlc] of entries) {
        this.#hasChanged = true;
        this.#sites.authored(site, hlc);
        if (tableId !== undefined) this.#statistics.wrote(tableId, hlc, this.#catalog.current);
      }
    }
  }

  async #finish(): Promise<void> {
    if (!this.#hasChanged) return;
    this.#rows.write(this.#transaction, (tableId, cells) =>
      this.#statistics.gained(tableId, cells, this.#catalog.current),
    );
    this.#statistics.save(this.#catalog.current, this.#transaction);
    await this.#sites.write(this.#transaction);
    this.#log.noteReplaced(this.#replaced);
    this.#log.finish(this.#catalog.isForked);
  }
}

/** Changes that the row is made of. */
function countHeld({ cells, tombstone }: Row): number {
  return cells.size + (tombstone === undefined || isExpired(tombstone) ? 0 : 1);
}

function emptyOutcome(transactions: number): BatchOutcome {
  return { applied: 0, skipped: 0, conflicts: 0, transactions, position: HLC_MIN };
}
