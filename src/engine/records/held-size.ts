/** The limits for records of held rows: see `held-rows.ts`. */

export interface HeldLimits {
  /** Most bytes for one site. */
  heldBytesPerSite: number;
  /** Most bytes for all sites of a database. */
  heldBytesPerDatabase: number;
  /** Most floors that are listed: see `held-floors.ts`. */
  heldSitesPerDatabase: number;
}

export const UNLIMITED_HELD: HeldLimits = {
  heldBytesPerSite: Number.POSITIVE_INFINITY,
  heldBytesPerDatabase: Number.POSITIVE_INFINITY,
  heldSitesPerDatabase: Number.POSITIVE_INFINITY,
};
