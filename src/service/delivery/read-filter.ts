/**
 * What one client may see, if the `onBeforeSendChanges` hook exists: the same for answers, pushes
 * and snapshots. Without the hook there is no filter, nothing is decoded, and all sessions share a
 * frame.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { LogPage, LogReadOptions, TakeChangeSet } from '../../engine/log/log.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import type { TableAliases } from '../../engine/tables/table-aliases.ts';
import type { HookChain } from '../../hooks/chain/chain.ts';
import type { CallOrigin } from '../../hooks/types.ts';
import type { WireChange, WireChangeSet } from '../../protocol/schemas.ts';
import { runByTurns } from '../../wire/steps.ts';
import { parseStored, stringifyInSteps } from '../../wire/stored-json.ts';
import type { Reader } from '../access/rights.ts';
import { Fifo } from '../budgets/fifo.ts';
import { bytesFor, PARSED_AT_ONCE_BYTES, type PageMemory } from '../budgets/page-reads.ts';
import { askUnderAllNames } from './former-names.ts';

/**
 * Leaves out or masks what the client may not see.
 * @param aliases of the tables, as of the moment at which the change sets have their names
 */
export type ReadFilter = (
  changeSets: readonly WireChangeSet[],
  aliases: TableAliases,
) => Promise<readonly WireChangeSet[]>;

/** The filter for what is pushed to a client. */
export interface PushFilter {
  filter: ReadFilter;
  /**
   * Clients with the same key see the same. `undefined` if the client shares its view with no
   * other.
   */
  key: string | undefined;
}

/**
 * @param reader the client's present identity: newer credentials or modules may let it see less
 * @returns `undefined` if every client may see everything
 */
export function readFilterOf(
  hooks: HookChain,
  reader: Reader,
  signal?: AbortSignal,
  origin?: CallOrigin,
): ReadFilter | undefined {
  if (!hooks.has.onBeforeSendChanges) return undefined;
  return async (changeSets, aliases) => {
    for (;;) {
      const client = reader.who();
      const left = await askUnderAllNames(changeSets, aliases, (sets) =>
        hooks.beforeSend(client, sets, signal, origin),
      );
      await reader.demandCurrent?.();
      // The credentials have been renewed meanwhile: filter again under the new identity.
      if (reader.who() === client) return left;
    }
  };
}

/**
 * A page of the log as the client may see it.
 * @param take gets the change sets of the page, in order
 * @param memory the memory for the page; without it no memory is reserved
 * @throws SyncError OVERLOADED, or what the store or a hook throws
 */
export async function readPage(
  manager: SyncManager,
  options: LogReadOptions,
  filter: ReadFilter | undefined,
  take: TakeChangeSet,
  memory?: PageMemory,
): Promise<LogPage> {
  const use = filter === undefined ? 'copied' : 'parsed';
  const read = (takeJson: TakeChangeSet) =>
    memory === undefined
      ? manager.log.page(options, takeJson)
      : memory.reads.read(manager, { ...options, use }, memory, takeJson);
  if (filter === undefined) return read(take);
  const jsons = new Fifo<Uint8Array>();
  let [bytes, longestBytes] = [0, 0];
  const page = await read((json) => {
    jsons.push(json);
    bytes += json.length;
    longestBytes = Math.max(longestBytes, json.length);
  });
  // The size is known now. Give back the rest while the hook runs.
  if (jsons.length > 0) memory?.room.adjust(bytesFor(bytes, use, longestBytes));
  let lastSent: HlcText | undefined;
  while (jsons.length > 0) {
    const left = await seenOf(nextPart(jsons), page.aliases, filter);
    // Drops each change set once it is written: a page may be larger than planned.
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      lastSent = next.hlc;
      take(next.json ?? (await runByTurns(stringifyInSteps(next.set))));
    }
  }
  return { ...page, lastSent };
}

/** Takes out as many change sets as a hook is given at once. */
function nextPart(jsons: Fifo<Uint8Array>): Uint8Array[] {
  const part: Uint8Array[] = [];
  let bytes = 0;
  for (let next = jsons.first; next !== undefined; next = jsons.first) {
    bytes += next.length;
    if (part.length > 0 && bytes > PARSED_AT_ONCE_BYTES) break;
    part.push(next);
    jsons.shift();
  }
  return part;
}

/** A change set to be sent: as it was stored, or as the filter left it. */
type Seen = { hlc: HlcText } & (
  | { json: Uint8Array; set?: undefined }
  | { json?: undefined; set: WireChangeSet }
);

/** @param jsons is emptied */
async function seenOf(
  jsons: Uint8Array[],
  aliases: TableAliases,
  filter: ReadFilter,
): Promise<Fifo<Seen>> {
  const jsonBySet = new Map<WireChangeSet, Uint8Array | undefined>();
  for (const json of jsons.splice(0)) {
    const changeSet = await runByTurns(parseStored(json));
    const bare = withoutPriors(changeSet);
    jsonBySet.set(bare, bare === changeSet ? json : undefined);
  }
  const seen = new Fifo<Seen>();
  for (const set of await filter([...jsonBySet.keys()], aliases)) {
    const json = jsonBySet.get(set);
    seen.push({ hlc: set.hlc, ...(json === undefined ? { set } : { json }) });
  }
  return seen;
}

/**
 * Leaves out previous values where there is a filter: a hook that masks values may not know of
 * them, and would reveal them.
 */
function withoutPriors(changeSet: WireChangeSet): WireChangeSet {
  const hasPrior = (change: WireChange) =>
    change.type === 'column' ? 'priorHlc' in change : 'priorRow' in change;
  if (!changeSet.changes.some(hasPrior)) return changeSet;
  return { ...changeSet, changes: changeSet.changes.map(withoutPrior) };
}

function withoutPrior(change: WireChange): WireChange {
  if (change.type === 'delete') {
    const { priorRow: _row, ...bare } = change;
    return bare;
  }
  const { priorValue: _value, priorHlc: _hlc, ...bare } = change;
  return bare;
}
