/**
 * The types of hooks: `CoordinatorHooks`, with their arguments and answers.
 *
 * Every hook is optional. `kinds.ts` has how several modules combine, `loader.ts` how they are
 * found and imported.
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { WebSocket } from 'ws';
import type { Hlc } from '../clock/hlc.ts';
import type { SiteId } from '../clock/site-id.ts';
import type {
  ApplyResult,
  Change,
  ChangeSet,
  RejectedChange,
  SchemaMigration,
} from '../protocol/types.ts';
import type { BatchReader } from './reader.ts';

/** What a client that is not authenticated yet has sent. */
export interface AuthContext {
  /** The client's token, without `Bearer `. */
  token?: string;
  /** The site id that the client claims. */
  siteId?: SiteId;
  databaseId: string;
  transport: 'http' | 'websocket';
  headers: IncomingHttpHeaders;
  remoteAddress?: string;
  /** See `HookCall`. */
  requestId?: string;
  /** See `HookCall`. */
  connectionId?: string;
  /**
   * The identity of a session whose credentials are checked again after a reload of hook modules. A
   * module with single-use tokens may return it.
   */
  known?: ClientIdentity;
  /** Aborted when the call's time is up, or the client has gone. */
  signal: AbortSignal;
}

/** An authenticated client. `onAuthenticate` returns it; the other hooks get it. */
export interface ClientIdentity {
  userId?: string;
  siteId: SiteId;
  /** Set by the coordinator. */
  databaseId?: string;
  /**
   * Set by the coordinator: the client's address when it was authenticated. Absent if only the
   * address of a proxy is known, which all of its clients share.
   */
  remoteAddress?: string;
  /**
   * When the credentials expire, in milliseconds since 1970. From then on the client gets
   * AUTH_EXPIRED, and its session ends. Until then it may send newer credentials.
   */
  expiresAt?: number;
  /**
   * Any data for later hooks (claims, roles, …). They get frozen copies of plain objects and
   * arrays, and instances of classes unchanged.
   */
  metadata?: Record<string, unknown>;
}

/**
 * The fields of a migration, frozen. Its DDL text, which devices carry out, may do something else:
 * `onBeforeApplyChanges` gets that as well.
 */
export type MigrationSummary = Readonly<
  Pick<SchemaMigration, 'type' | 'schema' | 'table' | 'fromTable'>
>;

/** What a client wants to do. */
export type SyncOperation =
  | { type: 'get_changes'; databaseId: string; sinceHLC?: Hlc }
  | {
      type: 'apply_changes';
      databaseId: string;
      /** The number of changes and migrations; a change set without any counts as one. */
      changeCount: number;
      /** The migrations, in order. Absent if there are none. */
      migrations?: readonly MigrationSummary[];
    }
  | { type: 'get_snapshot'; databaseId: string }
  | { type: 'resume_snapshot'; databaseId: string };

/** A hook's verdict on a batch. `judgeChanges` makes one change by change. */
export interface ValidationResult {
  /**
   * The changes to be stored. Each answers the client's change with the same HLC; one that answers
   * none makes the verdict invalid. If it differs from the client's, it is stored as the
   * coordinator's own.
   */
  approved: ChangeSet[];
  /**
   * Why the others are rejected. An entry is about every change that is not approved and has its
   * table, column and pk, as far as it names these.
   */
  rejected: RejectedChange[];
  /** Whether one rejected change rejects its whole change set. */
  atomic?: boolean;
}

/** The origin of the operation for which a hook is called. */
export interface CallOrigin {
  /**
   * The id of the request, as in logs: Fastify's `request.id` over HTTP; the connection's id and
   * the number of the message over a WebSocket. Absent without a request, for instance for a push.
   */
  readonly requestId?: string | undefined;
  /** The id of the WebSocket connection, which its client got in `handshake_ack`. */
  readonly connectionId?: string | undefined;
  readonly transport?: 'http' | 'websocket' | undefined;
  /** As in `AuthContext`. */
  readonly remoteAddress?: string | undefined;
  readonly databaseId?: string | undefined;
}

/**
 * The last argument of every hook; `onAuthenticate` has the same in its context.
 */
export interface HookCall extends CallOrigin {
  /** Aborted when the call's time (`hooks.timeoutMs`) is up, or the server stops. */
  signal: AbortSignal;
}

/** The `call` of `onBeforeApplyChanges`. */
export interface ApplyCall extends HookCall {
  /**
   * Set if the changes have other, former or later, names of their tables, to check rules for those
   * names.
   */
  isOtherName?: boolean;
  /** Reads the database as if earlier accepted changes were stored. Pass it to `judgeChanges`. */
  read: BatchReader;
}

/**
 * The outcome of one change or migration.
 * - `applied`, `rewritten`: `stored` is what is stored; a rewrite has an HLC of the coordinator's
 * - `known`: it had been stored before
 * - `lost`: something newer has won; `to` is the HLC of that, if it is known
 * - `rejected`: by a hook, or since the sender may not send changes of another site
 */
export type ChangeOutcome = {
  /** The change as it was sent. */
  change: Change | SchemaMigration;
  /** The id of its transaction. */
  transactionId: string;
} & (
  | { outcome: 'applied' | 'rewritten'; stored: Change | SchemaMigration }
  | { outcome: 'known' }
  | { outcome: 'lost'; to?: Hlc }
  | { outcome: 'rejected'; reason: string; code: string }
);

/** The `call` of `onAfterApplyChanges`. */
export interface AppliedCall extends HookCall {
  /** The newest position of the batch; absent if nothing of it took effect. */
  position?: Hlc | undefined;
  /**
   * The outcomes of all changes and migrations of the batch, in the order in which they were sent.
   * Made when read.
   */
  readonly outcomes: readonly ChangeOutcome[];
}

export type MaybePromise<T> = T | Promise<T>;

export interface CoordinatorHooks {
  /**
   * Authenticates a client. Return an identity to accept it, `undefined` to pass to the next module
   * ("not my kind of credential"), or throw to reject it. The client then gets AUTH_FAILED, which
   * is final, or the SyncError that was thrown.
   */
  onAuthenticate?(context: AuthContext): MaybePromise<ClientIdentity | undefined>;
  /**
   * Adds to the identity of an accepted client, also if it sends newer credentials, or is checked
   * again after a reload. The returned members, and those of `metadata`, replace existing ones;
   * `undefined` adds nothing. Each module gets the result of the one before. `userId`, `siteId`,
   * `databaseId` and `remoteAddress` can't be changed, and `expiresAt` only to an earlier time.
   */
  onAuthenticated?(
    client: ClientIdentity,
    call: HookCall,
  ): MaybePromise<Partial<ClientIdentity> | undefined>;
  /** Whether the client may do this. Every module must say `true`. */
  onAuthorize?(
    client: ClientIdentity,
    operation: SyncOperation,
    call: HookCall,
  ): MaybePromise<boolean>;
  /**
   * Decides which changes are stored: those in `approved`. Each module gets what the one before
   * approved.
   */
  onBeforeApplyChanges?(
    client: ClientIdentity,
    changes: ChangeSet[],
    call: ApplyCall,
  ): MaybePromise<ValidationResult>;
  /**
   * Notified once the changes are durable, with what is stored: a change that a hook rewrote has an
   * HLC and the site of the coordinator. Clients never get its errors.
   */
  onAfterApplyChanges?(
    client: ClientIdentity,
    changes: ChangeSet[],
    result: ApplyResult,
    call: AppliedCall,
  ): MaybePromise<void>;
  /**
   * Filters the change sets that are to be sent to a client, alike for answers, pushes and
   * snapshots. Leave out changes, or give them other values; changes can't be added. Each module
   * gets what the one before left.
   */
  onBeforeSendChanges?(
    client: ClientIdentity,
    changes: ChangeSet[],
    call: HookCall,
  ): MaybePromise<ChangeSet[]>;
  /**
   * A key for clients to which `onBeforeSendChanges` shows the same pushes: it is invoked once for
   * all clients with the same key, with any of them. If a module with that hook gives no key for a
   * client, the hook is invoked for that client alone.
   */
  viewKey?(client: ClientIdentity): string | undefined;
  /** Whether a WebSocket client may stay. Every module must say `true`. */
  onClientConnect?(
    client: ClientIdentity,
    socket: WebSocket,
    call: HookCall,
  ): MaybePromise<boolean>;
  /**
   * Notified in a reload, if this instance replaces another: this client is connected already. It
   * is the same identity as for `onClientConnect`.
   */
  onClientHandover?(client: ClientIdentity, call: HookCall): MaybePromise<void>;
  /**
   * Notified when a WebSocket client has gone: once for each call of `onClientConnect` or
   * `onClientHandover`, with the same identity. Without these hooks: for all clients that other
   * modules let in.
   */
  onClientDisconnect?(client: ClientIdentity, call: HookCall): MaybePromise<void>;
}
