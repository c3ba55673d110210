/**
 * Keeps the records of held rows within their limits, without refusing changes. Records of what a
 * site has received are folded into its floor (see `held-floors.ts`). A site that does not ask for
 * changes, so that its records exceed a limit, has to start over from a snapshot.
 */

import { HLC_MAX, type HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { LimitName } from '../../errors/limit-names.ts';
import type { Identity } from '../records/head.ts';
import type { HeldSet } from '../records/held-set.ts';
import type { HeldLimits } from '../records/held-size.ts';
import type { Pace } from '../records/pace.ts';
import { answerHlc } from './compensation.ts';
import type { WriteTransaction } from './write-transaction.ts';

/** A site that has to start over, and the limit that was exceeded. */
export interface FullHolder {
  site: SiteIdText;
  limit: LimitName;
}

export interface HeldBoundContext {
  heldLimits: HeldLimits;
  identity: Identity;
  /** A new name for a demand to start over. */
  newDemand(): string;
}

/**
 * To be called after a batch.
 * @param unsent sites that have to start over in any case, since reverts for them were not sent
 * @returns all sites that have to start over
 */
export async function boundHeld(
  transaction: WriteTransaction,
  { heldLimits, newDemand, identity }: HeldBoundContext,
  pace: Pace,
  unsent: readonly SiteIdText[] = [],
): Promise<readonly FullHolder[]> {
  const { held, sites, head } = transaction;
  const touched = held.recount();
  if (touched.size === 0 && unsent.length === 0) return [];
  const grown = [...touched].filter((site) => held.gainedOf(site) > 0);
  await sites.load([...grown, ...unsent]);
  const { heldBytesPerSite, heldBytesPerDatabase, heldSitesPerDatabase } = heldLimits;
  const full = new Map<SiteIdText, LimitName>(
    unsent.map((site) => [site, 'limits.heldBytesPerDatabase']),
  );
  let ofAll = (head.heldBytes ?? 0) + held.gainedOfAll;
  for (const site of grown) {
    const bytes = sites.heldBytesOf(site) + held.gainedOf(site);
    if (bytes <= heldBytesPerSite) continue;
    full.set(site, 'limits.heldBytesPerSite');
    ofAll -= bytes;
  }
  if (ofAll > heldBytesPerDatabase) {
    for (const site of await greatest(held, heldBytesPerDatabase / 2, pace)) {
      if (!full.has(site)) full.set(site, 'limits.heldBytesPerDatabase');
    }
  }
  if (full.size === 0) return [];
  const all = new Map([...full.keys()].map((site) => [site, HLC_MAX]));
  await fold(transaction, all, { identity, isIdle: true, heldSitesPerDatabase }, pace);
  for (const site of full.keys()) sites.requireResync(site, newDemand());
  return [...full].map(([site, limit]) => ({ site, limit }));
}

/**
 * Folds the held rows of sites into their floors, as far as the sites have received the reverts.
 * @param heard sites, each with the position up to which it has received the log
 */
export async function fold(
  { held, floors, log, sites }: WriteTransaction,
  heard: ReadonlyMap<SiteIdText, HlcText>,
  {
    identity,
    isIdle,
    heldSitesPerDatabase,
  }: Pick<HeldLimits, 'heldSitesPerDatabase'> & { identity: Identity; isIdle: boolean },
  pace: Pace,
): Promise<void> {
  const { newest, told } = await held.forget(heard, pace);
  await sites.load(newest.keys());
  log.noteReplaced(told);
  held.recount();
  for (const [site, hlc] of newest) floors.raise(site, answerHlc(hlc, identity.siteId), isIdle);
  await floors.bound(heldSitesPerDatabase);
}

/**
 * The sites that hold most, so many that the others hold no more than `rest` bytes. Reading all
 * held rows is worth it only if much becomes free, and the sites that filled the space go first.
 */
async function greatest(held: HeldSet, rest: number, pace: Pace): Promise<SiteIdText[]> {
  const bySize = [...(await held.bytesBySite(pace))].sort(([, a], [, b]) => b - a);
  let left = bySize.reduce((sum, [, bytes]) => sum + bytes, 0);
  const chosen: SiteIdText[] = [];
  for (const [site, bytes] of bySize) {
    if (left <= rest) break;
    chosen.push(site);
    left -= bytes;
  }
  return chosen;
}
