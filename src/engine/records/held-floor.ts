/**
 * The held floor: one HLC for all sites whose held rows were too many to be kept row by row. Such a
 * site is floored: of any row it may hold a change up to the floor, so it may not take what takes
 * effect with a lesser HLC. That is sent once more, to all floored sites in one revert, under an
 * HLC that is greater than the floor and becomes the floor. That is sometimes needless, but never
 * missing; and it costs the same however many sites are floored.
 *
 * A site that has to start over is idle, up to an HLC of its own, until a snapshot is begun for it,
 * in which nothing is older than that and the floor. Until then it gets no reverts.
 */

import { compareHlc, type HlcText, maxHlc } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { Head } from './head.ts';
import type { SiteState, SiteStates } from './site-state.ts';

/** In place of a site: a revert for all floored sites. */
export const ALL_FLOORED = '*';

/** The HLC up to which a site may hold changes that are not recorded; `undefined` if it holds none. */
export function heldUpTo(
  { isFloored, idle }: SiteState,
  { heldFloor }: Pick<Head, 'heldFloor'>,
): HlcText | undefined {
  const floor = isFloored ? heldFloor : undefined;
  return idle === undefined || floor === undefined ? (idle ?? floor) : maxHlc(idle, floor);
}

/** The floor, as one transaction sees it. Sites have to be loaded. */
export class HeldFloor {
  readonly #sites: SiteStates;
  readonly #head: () => Head;

  constructor(sites: SiteStates, head: () => Head) {
    this.#sites = sites;
    this.#head = head;
  }

  get hlc(): HlcText | undefined {
    return this.#head().heldFloor;
  }

  /** Whether there may be a floored site that does not take a change with this HLC. */
  isAtLeast(hlc: HlcText): boolean {
    return this.hlc !== undefined && compareHlc(hlc, this.hlc) <= 0;
  }

  /** The floor, if the site is floored. */
  of(site: SiteIdText): HlcText | undefined {
    return this.#sites.floorOf(site).isFloored ? this.hlc : undefined;
  }

  raise(hlc: HlcText): void {
    const head = this.#head();
    head.heldFloor = head.heldFloor === undefined ? hlc : maxHlc(head.heldFloor, hlc);
  }

  /** From now on the site may hold a change of any row up to an HLC. */
  add(site: SiteIdText, hlc: HlcText): void {
    const head = this.#head();
    this.raise(hlc);
    if (this.#sites.floorOf(site).isFloored) return;
    head.flooredSites = (head.flooredSites ?? 0) + 1;
    this.#sites.setFloor(site, { isFloored: true });
  }

  /** The HLC up to which an idle site may hold changes; `undefined` if the site isn't idle. */
  idleOf(site: SiteIdText): HlcText | undefined {
    return this.#sites.floorOf(site).idle;
  }

  /** The site is to start over: it may hold changes up to an HLC, and gets no reverts. */
  makeIdle(site: SiteIdText, hlc: HlcText): void {
    const head = this.#head();
    const known = this.idleOf(site);
    if (known === undefined) head.idled = (head.idled ?? 0) + 1;
    this.#sites.setFloor(site, { idle: known === undefined ? hlc : maxHlc(known, hlc) });
  }

  /** An idle site starts over, so from now on it gets reverts. */
  endIdle(site: SiteIdText): void {
    const idle = this.idleOf(site);
    if (idle === undefined) return;
    this.add(site, idle);
    this.#sites.setFloor(site, { idle: undefined });
  }
}
