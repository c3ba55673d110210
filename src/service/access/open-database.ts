import { siteIdToText } from '../../clock/site-id.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { ClientIdentity } from '../../hooks/types.ts';

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
export function refuseOwnSite({ siteId }: ClientIdentity, { manager }: OpenDatabase): void {
  const isOwn = siteIdToText(siteId) === manager.identity.siteIdText;
  if (!isOwn && siteId.some((byte) => byte !== 0)) return;
  throw new SyncError('AUTH_FAILED', 'this site id is not a device’s');
}
