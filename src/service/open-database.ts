import { siteIdToText } from '../clock/site-id.ts';
import type { SyncManager } from '../engine/sync-manager.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { ClientIdentity } from '../hooks/types.ts';

/** A database that somebody holds open. */
export interface OpenDatabase {
  readonly id: string;
  readonly manager: SyncManager;
  /** Whose it is counted as (see `budget.ts`); nobody's, if the server itself holds it. */
  readonly holder?: string | undefined;
}

/** A database that is opened when it is needed: not before its client is known to be allowed to use it. */
export interface DatabaseAccess {
  readonly id: string;
  open(): Promise<OpenDatabase>;
}

/**
 * What a database's coordinator writes, a correction for instance, bears its site id, which every client is
 * told: nobody else may write under it. Nor under the one that stands for none.
 * @throws SyncError AUTH_FAILED
 */
export function refuseOwnSite({ siteId }: ClientIdentity, { manager }: OpenDatabase): void {
  const isOwn = siteIdToText(siteId) === manager.identity.siteIdText;
  if (!isOwn && siteId.some((byte) => byte !== 0)) return;
  throw new SyncError('AUTH_FAILED', 'this site id is not a device’s');
}
