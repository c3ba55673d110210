/** Decides whether an import replaces a database, and under which site id. */

import { Check } from 'typebox/value';
import { HLC_MIN, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { SITE_ID_BYTES } from '../../clock/site-id.ts';
import { HEAD_KEY, kindRange, logKeyToPosition } from '../../engine/records/keys.ts';
import { asOfSite, nextPosition } from '../../engine/records/position-clock.ts';
import { HeadSchema } from '../../engine/records/record-schemas.ts';
import type { World } from '../../engine/world.ts';
import type { KVReader } from '../../storage/kv-store.ts';
import { decodeUnfinished, UNFINISHED_KEY } from '../../storage/unfinished.ts';
import { parseBytes } from '../../verify/findings.ts';
import { CONTENT_RANGE } from '../content.ts';
import type { CheckedExport } from './import-content.ts';

export interface ImportPlan {
  /**
   * The position, of a new site id, at which it replaces a database; `undefined` if it replaces
   * none.
   */
  replacedAt: HlcText | undefined;
  /** Whether the content of the store is deleted. */
  replace: boolean;
}

/**
 * In an empty store a database keeps its site id and positions. If it replaces another one it gets
 * a new site id, and a position after all that either of them ever gave out.
 * @param replace whether it may replace another database
 */
export async function planImport(
  reader: KVReader,
  { header, end }: CheckedExport,
  world: Pick<World, 'now' | 'randomBytes'>,
  { replace }: { replace: boolean },
): Promise<ImportPlan> {
  const [bytes] = await reader.getMany([UNFINISHED_KEY]);
  const mark = bytes && decodeUnfinished(bytes);
  // The same import was interrupted: continue it.
  if (mark?.file === end.sha256) return { replacedAt: mark.replacedAt, replace: true };
  if (!replace || (bytes === undefined && (await isFree(reader)))) {
    return { replacedAt: undefined, replace: false };
  }
  const before = maxHlc(await newestPosition(reader), mark?.replacedAt ?? HLC_MIN);
  const site = world.randomBytes(SITE_ID_BYTES);
  const replacedAt = nextPosition(asOfSite(maxHlc(before, header.position), site), world.now());
  return { replacedAt, replace: true };
}

async function isFree(reader: KVReader): Promise<boolean> {
  for await (const _entries of reader.iterate({ ...CONTENT_RANGE, limit: 1 })) return false;
  return true;
}

/** The newest position of the database in a store, even if it can't be opened. */
async function newestPosition(reader: KVReader): Promise<HlcText> {
  const [bytes] = await reader.getMany([HEAD_KEY]);
  const head = bytes && parseBytes(bytes);
  let newest = Check(HeadSchema, head) ? head.position : HLC_MIN;
  for await (const [entry] of reader.iterate({ ...kindRange('l'), reverse: true, limit: 1 })) {
    if (entry !== undefined) newest = maxHlc(newest, logKeyToPosition(entry[0]));
  }
  return newest;
}
