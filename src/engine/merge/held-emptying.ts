/**
 * Empties a dropped table of the records of held rows. Those up to the table's floor are removed;
 * newer ones move to the table that has taken its place, and the sites get new reverts there.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { changedRowJson } from '../records/change-json.ts';
import { countTold, decodeHeldRow, isNothing, trim } from '../records/held-rows.ts';
import { tableRange } from '../records/keys.ts';
import type { LiveTable } from '../records/table-record.ts';
import type { Reverts } from './reverts.ts';
import { loadThere, type StepBudget } from './step-budget.ts';
import type { WriteTransaction } from './write-transaction.ts';

/** The key before the first held row of a table. */
export function beforeHeldOf(tableId: number): Buffer {
  return Buffer.from(tableRange('h', tableId).gte ?? []);
}

export function isHeldKey(key: Uint8Array): boolean {
  return key[0] === 'h'.charCodeAt(0);
}

/** One step. @returns the key after which the next one begins; `undefined` when none is left */
export async function emptyHeld(
  transaction: WriteTransaction,
  { id, floor, into }: { id: number; floor: HlcText; into: LiveTable | undefined },
  after: Uint8Array,
  budget: StepBudget,
  reverts: Reverts,
): Promise<Uint8Array | undefined> {
  const { held, rows, log } = transaction;
  let { found, next } = await readSome(transaction, id, after, budget);
  if (into !== undefined) {
    const there = found.map(({ identity }) => ({ tableId: into.id, identity }));
    const count = await loadThere(transaction, there, budget);
    if (count < found.length) {
      // The rest is left to the next step.
      found = found.slice(0, count);
      next = found.at(-1)?.key;
    }
    await held.load(there.slice(0, count));
  }
  await held.load(found.map(({ identity }) => ({ tableId: id, identity })));
  for (const { identity, pk } of found) {
    const row = held.get({ tableId: id, identity });
    for (const [site, holding] of row?.sites ?? []) {
      const before = countTold(holding);
      trim(holding, floor);
      if (into !== undefined && !isNothing(holding)) {
        const address = { tableId: into.id, identity };
        const json = changedRowJson(JSON.stringify(into.schema), JSON.stringify(into.table), pk);
        const target = { table: into, isLive: true, address, pk, json };
        const loaded = rows.get(address);
        if (loaded !== undefined) reverts.moved(holding, target, loaded, site);
      }
      if (into !== undefined || isNothing(holding)) row?.sites.delete(site);
      log.noteReplaced(before - (row?.sites.has(site) ? countTold(holding) : 0));
    }
  }
  return next;
}

interface HeldThere {
  key: Buffer;
  identity: string;
  pk: string;
}

async function readSome(
  { store }: WriteTransaction,
  id: number,
  after: Uint8Array,
  budget: StepBudget,
): Promise<{ found: HeldThere[]; next: Uint8Array | undefined }> {
  const found: HeldThere[] = [];
  const { lt } = tableRange('h', id);
  for await (const entries of store.iterate({ gt: after, lt, limit: Math.max(1, budget.rows) })) {
    for (const [key, bytes] of entries) {
      const { pk } = decodeHeldRow(bytes);
      found.push({ key: Buffer.from(key), identity: pkIdentity(JSON.parse(pk)), pk });
      budget.rows--;
      budget.bytes -= key.length + bytes.length;
      if (budget.isSpent) return { found, next: Buffer.from(key) };
    }
  }
  return { found, next: undefined };
}
