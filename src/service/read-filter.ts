/**
 * What one client may see, where a hook has a say in it: the same for answers, pushes and
 * snapshots. Without such a hook there is no filter, nothing is decoded and one frame serves all.
 */

import type { HlcText } from '../clock/hlc.ts';
import type { LogPage, LogReadOptions, TakeChangeSet } from '../engine/log/log.ts';
import { bytesToText } from '../engine/records/row.ts';
import type { SyncManager } from '../engine/sync-manager.ts';
import type { TableAliases } from '../engine/tables/table-aliases.ts';
import type { HookChain } from '../hooks/chain.ts';
import type { CallOrigin } from '../hooks/types.ts';
import type { WireChange, WireChangeSet } from '../protocol/schemas.ts';
import { Fifo } from './fifo.ts';
import { askUnderAllNames } from './former-names.ts';
import { bytesFor, type PageMemory } from './page-reads.ts';
import type { Reader } from './rights.ts';

/**
 * Leaves out, or masks, what the client may not see.
 * @param aliases of the tables, of the moment that the names in the change sets are of
 */
export type ReadFilter = (
  changeSets: readonly WireChangeSet[],
  aliases: TableAliases,
) => Promise<readonly WireChangeSet[]>;

/** What a client may see of what is pushed. */
export interface PushFilter {
  filter: ReadFilter;
  /** Whoever has the same sees the same; `undefined` for one that is like no other. */
  key: string | undefined;
}

/**
 * @param reader who the client is at the moment: newer credentials, or newer hooks, may let it see less
 * @returns `undefined` where every client may see everything
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
      // What was decided under older credentials is not to be sent under these.
      if (reader.who() === client) return left;
    }
  };
}

/**
 * A page of the log as the client may see it.
 * @param take gets its change sets, in order
 * @param memory the room that it is read in; without one it is not asked for
 * @throws SyncError OVERLOADED, or what the store or a hook says
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
  const jsons: Uint8Array[] = [];
  const page = await read((json) => jsons.push(json));
  if (jsons.length === 0) return page;
  // How much it is one knows by now; and others may have the rest while a hook thinks.
  memory?.room.adjust(
    bytesFor(
      jsons.reduce((sum, { length }) => sum + length, 0),
      use,
    ),
  );
  const left = await seenOf(jsons, page.aliases, filter);
  let lastSent: HlcText | undefined;
  // What is written is let go of, before the next one is: a page may hold more than it was meant to.
  for (let next = left.shift(); next !== undefined; next = left.shift()) {
    lastSent = next.hlc;
    take(next.json ?? Buffer.from(JSON.stringify(next.set)));
  }
  return { ...page, lastSent };
}

/** A change set as it is to be sent: as it was stored, or as it was left. */
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
    const changeSet: WireChangeSet = JSON.parse(bytesToText(json));
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
 * What a value was before is not sent where there is a filter: a hook that masks a value would
 * give it away by what it forgot.
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
