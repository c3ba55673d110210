/** The held floor of a site, which is in the site's record: see `held-floors.ts`. */

import type { Static } from 'typebox';
import type { Head } from './head.ts';
import type { HeldFloorSchema } from './record-schemas.ts';

export type HeldFloor = Static<typeof HeldFloorSchema>;

export function isListed(floor: HeldFloor | undefined): floor is HeldFloor {
  return floor !== undefined && !floor.isIdle && floor.lates === undefined;
}

/** Whether a site has to start over: it was told to, or missed a late change. */
export function isIdle(floor: HeldFloor | undefined, { lates = 0 }: Head): boolean {
  return floor?.isIdle === true || (floor?.lates ?? lates) < lates;
}
