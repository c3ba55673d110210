/** Goes through the held rows in steps, and sends a site its reverts again. */

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
import { Revert } from './reverts.ts';
import type { WriteTransaction } from './write-transaction.ts';

const STEP_ROWS_MAX = 1000;

interface Step {
  rows: { key: Buffer; held: HeldRow }[];
  /** Where the next step begins; `undefined` at the end. */
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
 * Sends a site its reverts again, with the current values. A snapshot does not contain them, and
 * after it the site will not ask for the log before the snapshot's position.
 * @param from where the last step ended
 * @returns where the next step begins, if there is more
 */
export async function redeliverReverts(
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
  const revert = new Revert(new JsonNames());
  for (const [i, { key, held }] of theirs.entries()) {
    const table = catalog.table(heldKeyToTable(key));
    const holding = held.sites.get(site);
    if (holding === undefined || table === undefined || !isLive(table)) continue;
    const { id, schema, table: name = '' } = table;
    const bytes = stored[i];
    const cells = bytes && decodeRow(bytes).cells;
    const row = { id, schema, table: name, pk: held.pk };
    // A site still has its own value, without `at`, unless it began anew. Then a deletion of the
    // row, sent again or its own, removes that value as well, so it has to be sent.
    const isRowHeld = holding.row !== undefined;
    const send = (held: { hlc: HlcText; at?: HlcText | undefined }, column?: string) => {
      if (held.at === undefined && !isRowHeld) return;
      // A site is never sent a change under an HLC of its own.
      if (held.at === undefined) held.hlc = answerHlc(held.hlc, coordinator.siteId);
      else log.noteReplaced(1);
      held.at = position;
      revert.add(row, {
        hlc: held.hlc,
        ...(column === undefined ? {} : { column, value: cells?.get(column)?.value ?? 'null' }),
      });
    };
    if (holding.row?.at !== undefined) send(holding.row);
    for (const [column, cell] of holding.cells) send(cell, column);
    const changed = encodeHeldRow(held);
    if (changed !== undefined) store.put(key, changed);
  }
  revert.send(transaction, position, site, coordinator.siteIdText);
  return next;
}
