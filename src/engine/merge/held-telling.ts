/** Goes through what sites hold that was refused, in steps, to tell one of them again. */

import type { HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { KVTransaction } from '../../storage/kv-store.ts';
import { JsonNames } from '../records/change-json.ts';
import type { Identity } from '../records/head.ts';
import { decodeHeldRow, encodeHeldRow, type HeldRow } from '../records/held-rows.ts';
import { heldKeyToTable, heldToRowKey, kindRange } from '../records/keys.ts';
import { decodeRow } from '../records/row.ts';
import { isLive } from '../records/table-record.ts';
import { answerHlc } from './compensation.ts';
import { Letter } from './untaken.ts';
import type { WriteTransaction } from './write-transaction.ts';

const STEP_ROWS_MAX = 1000;

interface Step {
  rows: { key: Buffer; held: HeldRow }[];
  /** Where the next step goes on; `undefined` when the end has been reached. */
  next: Uint8Array | undefined;
}

async function readStep(store: KVTransaction, from: Uint8Array | undefined): Promise<Step> {
  const all = kindRange('h');
  const range = from === undefined ? all : { gt: from, lt: all.lt };
  const rows: Step['rows'] = [];
  for await (const entries of store.iterate({ ...range, limit: STEP_ROWS_MAX })) {
    for (const [key, value] of entries) {
      rows.push({ key: Buffer.from(key), held: decodeHeldRow(value) });
    }
  }
  return { rows, next: rows.length < STEP_ROWS_MAX ? undefined : rows.at(-1)?.key };
}

/**
 * Tells a site once more what it was told for itself, with the values of now: a snapshot holds nothing of
 * that, and what stands before the snapshot's position it will not ask for.
 * @param from where the last step ended
 * @returns where the next step goes on, if there is more
 */
export async function tellAgain(
  transaction: WriteTransaction,
  site: SiteIdText,
  coordinator: Identity,
  from: Uint8Array | undefined,
): Promise<Uint8Array | undefined> {
  const { store, log, catalog } = transaction;
  const { rows, next } = await readStep(store, from);
  const theirs = rows.filter(({ held }) => held.sites.has(site));
  const stored = await store.getMany(theirs.map(({ key }) => heldToRowKey(key)));
  const position = log.nextPosition();
  const letter = new Letter(new JsonNames());
  for (const [i, { key, held }] of theirs.entries()) {
    const table = catalog.table(heldKeyToTable(key));
    const holding = held.sites.get(site);
    if (holding === undefined || table === undefined || !isLive(table)) continue;
    const { id, schema, table: name = '' } = table;
    const bytes = stored[i];
    const cells = bytes && decodeRow(bytes).cells;
    const row = { id, schema, table: name, pk: held.pk };
    // The site has what it wrote itself, unless it began anew: then a deletion takes that away, too, be it told
    // again or one of its own, which it carries out once more.
    const isRowHeld = holding.row !== undefined;
    const tell = (told: { hlc: HlcText; at?: HlcText | undefined }, column?: string) => {
      if (told.at === undefined && !isRowHeld) return;
      // A site isn't told what is its own.
      if (told.at === undefined) told.hlc = answerHlc(told.hlc, coordinator.siteId);
      else log.noteReplaced(1);
      told.at = position;
      letter.add(row, {
        hlc: told.hlc,
        ...(column === undefined ? {} : { column, value: cells?.get(column)?.value ?? 'null' }),
      });
    };
    if (holding.row?.at !== undefined) tell(holding.row);
    for (const [column, told] of holding.cells) tell(told, column);
    const changed = encodeHeldRow(held);
    if (changed !== undefined) store.put(key, changed);
  }
  letter.send(transaction, position, site, coordinator.siteIdText);
  return next;
}
