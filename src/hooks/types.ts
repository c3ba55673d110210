/**
 * What a team may shape: `CoordinatorHooks`, and how a module gives them.
 *
 * Every hook is optional. How several modules act as one is in `chain.ts`; how they
 * are found and imported, in `loader.ts`.
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

/** Who asks, before anybody has said that it is so. */
export interface AuthContext {
  /** What the client sent as its token, without `Bearer `. */
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
   * Who the client of a session is known as, where its credentials are only looked at again, since
   * hook modules were loaded anew. A module whose tokens are good for once may give it back.
   */
  known?: ClientIdentity;
  /** Aborted when the call's time is up or the client has gone. */
  signal: AbortSignal;
}

/** Who a client is, once authenticated. `onAuthenticate` makes it; the other hooks get it. */
export interface ClientIdentity {
  userId?: string;
  siteId: SiteId;
  /** Filled in by the coordinator. */
  databaseId?: string;
  /**
   * Filled in by the coordinator: where it came from when it was authenticated. Absent where only the
   * address of a proxy is known, which all of its clients have.
   */
  remoteAddress?: string;
  /**
   * When the credentials expire, in milliseconds since 1970. From then on the client is
   * answered AUTH_EXPIRED, and its session ends; until then it may send newer ones.
   */
  expiresAt?: number;
  /**
   * Anything `onAuthenticate` wants the later hooks to know (claims, roles, …). They get frozen copies of plain
   * objects and arrays, and what is of a class as it is.
   */
  metadata?: Record<string, unknown>;
}

/**
 * A migration by what it says of itself, frozen. Its text, which devices carry out, may say something
 * else: `onBeforeApplyChanges` sees that, too.
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
      /** Changes and migrations; a change set without any counts as one. */
      changeCount: number;
      /** The DDL among them, in its order. Absent where there is none. */
      migrations?: readonly MigrationSummary[];
    }
  | { type: 'get_snapshot'; databaseId: string }
  | { type: 'resume_snapshot'; databaseId: string };

/** What a validate hook makes of a batch. `judgeChanges` makes one change by change. */
export interface ValidationResult {
  /**
   * What may be stored. A change that differs from the client's becomes the coordinator's own. Each
   * answers the one whose HLC it has; a change that answers none makes the verdict invalid.
   */
  approved: ChangeSet[];
  /**
   * Why the others may not. An entry speaks for every change that is not approved and that has
   * its table, column and pk, as far as it names them.
   */
  rejected: RejectedChange[];
  /** Whether a change set of which a change is not approved is rejected as a whole. */
  atomic?: boolean;
}

/** Where what a hook is called for came from. */
export interface CallOrigin {
  /**
   * What the log calls the request: over HTTP Fastify's `request.id`, of a WebSocket message its connection's
   * id and its number in that. Absent where no request is served, such as for a push.
   */
  readonly requestId?: string | undefined;
  /** Of the WebSocket, as its client was told in `handshake_ack`. */
  readonly connectionId?: string | undefined;
  readonly transport?: 'http' | 'websocket' | undefined;
  /** As in `AuthContext`. */
  readonly remoteAddress?: string | undefined;
  readonly databaseId?: string | undefined;
}

/**
 * What every hook gets beside its own arguments, as its last argument; `onAuthenticate` has the same in
 * its context.
 */
export interface HookCall extends CallOrigin {
  /** Aborted when the call's time (`hooks.timeoutMs`) is up or the server stops. */
  signal: AbortSignal;
}

/** What `onBeforeApplyChanges` gets beside its own arguments. */
export interface ApplyCall extends HookCall {
  /** The tables are called by other names that they have or had, to see whether rules for those forbid it. */
  isOtherName?: boolean;
  /** The database as it will be when what came before is stored. Give it to `judgeChanges`. */
  read: BatchReader;
}

/**
 * What became of one change or migration.
 * - `applied`, `rewritten`: `stored` is what is stored, of a rewrite with the coordinator's own HLC
 * - `known`: it had been stored before
 * - `lost`: to what is newer; `to` is the HLC of that, where it is known
 * - `rejected`: by a hook, or since it was not the sender's to bring
 */
export type ChangeOutcome = {
  /** As it was sent. */
  change: Change | SchemaMigration;
  /** Of the transaction that it came in. */
  transactionId: string;
} & (
  | { outcome: 'applied' | 'rewritten'; stored: Change | SchemaMigration }
  | { outcome: 'known' }
  | { outcome: 'lost'; to?: Hlc }
  | { outcome: 'rejected'; reason: string; code: string }
);

/** What `onAfterApplyChanges` gets beside its own arguments. */
export interface AppliedCall extends HookCall {
  /** The newest position that the batch was given; absent where nothing of it took effect. */
  position?: Hlc;
  /** What became of each change and migration of the batch, in the order in which they were sent. Made when it is asked for. */
  readonly outcomes: readonly ChangeOutcome[];
}

export type MaybePromise<T> = T | Promise<T>;

export interface CoordinatorHooks {
  /**
   * Says who a client is. Return an identity to accept, `undefined` to pass to the
   * next module ("not my kind of credential"), or throw to reject. The client is told
   * AUTH_FAILED, which is final; throw a SyncError to tell it anything else.
   */
  onAuthenticate?(context: AuthContext): MaybePromise<ClientIdentity | undefined>;
  /**
   * Adds to the identity of a client that has been accepted, also of one that brings newer credentials, or is
   * asked about again after a reload. What is returned is put over what is there, its `metadata` over
   * that; `undefined` adds nothing. Each module sees what the one before has added. `userId`, `siteId`,
   * `databaseId` and `remoteAddress` stay as they are, and `expiresAt` may only come sooner.
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
   * Which changes may be stored: what is in `approved`. Each module sees what the one
   * before approved.
   */
  onBeforeApplyChanges?(
    client: ClientIdentity,
    changes: ChangeSet[],
    call: ApplyCall,
  ): MaybePromise<ValidationResult>;
  /**
   * Told after the changes are durable, as they are stored: what a hook rewrote under the HLC and
   * the site that the coordinator gave it. Its failure never reaches the client.
   */
  onAfterApplyChanges?(
    client: ClientIdentity,
    changes: ChangeSet[],
    result: ApplyResult,
    call: AppliedCall,
  ): MaybePromise<void>;
  /**
   * What one client may see of change sets that are about to be sent to it: the same for
   * answers, pushes and snapshots. Leave out changes, or give back others with a value of
   * your own in their place; nothing can be added. Each module sees what the one before left.
   */
  onBeforeSendChanges?(
    client: ClientIdentity,
    changes: ChangeSet[],
    call: HookCall,
  ): MaybePromise<ChangeSet[]>;
  /**
   * What `onBeforeSendChanges` goes by when it decides what this client sees of pushes: clients with one
   * key see the same, so it is asked once for all of them, about any of them. Where a module with that
   * hook has no key for a client, each is asked about for itself.
   */
  viewKey?(client: ClientIdentity): string | undefined;
  /** Whether a WebSocket client may stay. Every module must say `true`. */
  onClientConnect?(
    client: ClientIdentity,
    socket: WebSocket,
    call: HookCall,
  ): MaybePromise<boolean>;
  /**
   * Told by a reload, when this instance takes the place of another: this client is connected already. It
   * is the identity that `onClientConnect` was asked about.
   */
  onClientHandover?(client: ClientIdentity, call: HookCall): MaybePromise<void>;
  /**
   * Told when a WebSocket client has gone: once for each time that `onClientConnect` was asked, or
   * `onClientHandover` told, and the same identity. Without either, of all that the other modules let in.
   */
  onClientDisconnect?(client: ClientIdentity, call: HookCall): MaybePromise<void>;
}
