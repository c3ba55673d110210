import { SITE_ID_BYTES, type SiteIdText, siteIdToText } from '../../clock/site-id.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import { SyncError } from '../../errors/sync-error.ts';

const NO_SITE = siteIdToText(new Uint8Array(SITE_ID_BYTES));

/** A database that is open as long as its lease is held. */
export interface OpenDatabase {
  readonly id: string;
  readonly manager: SyncManager;
  /**
   * Whose share of open databases it counts for (see `budget.ts`); `undefined` for the server
   * itself.
   */
  readonly holder?: string | undefined;
}

/**
 * A database that is opened when it is needed: not before its client is known to be allowed to use
 * it.
 */
export interface DatabaseAccess {
  readonly id: string;
  open(): Promise<OpenDatabase>;
}

/**
 * Refuses clients with the coordinator's site id, under which it writes its own changes, for
 * instance compensations. Every client knows this id. Also refuses the site id of all zeros, which
 * stands for none.
 * @throws SyncError AUTH_FAILED
 */
export function refuseOwnSite(site: SiteIdText, { manager }: OpenDatabase): void {
  if (site !== manager.identity.siteIdText && site !== NO_SITE) return;
  throw new SyncError('AUTH_FAILED', 'this site id is not a device’s');
}
