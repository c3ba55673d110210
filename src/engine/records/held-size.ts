/** How much may be kept of what sites hold of rows since changes of theirs were refused: see `held-rows.ts`. */

export interface HeldLimits {
  /** Most bytes for one site. */
  heldBytesPerSite: number;
  /** Most bytes for all sites of a database. */
  heldBytesPerDatabase: number;
}

export const UNLIMITED_HELD: HeldLimits = {
  heldBytesPerSite: Number.POSITIVE_INFINITY,
  heldBytesPerDatabase: Number.POSITIVE_INFINITY,
};
