/**
 * What a team may shape: the seed's `CoordinatorHooks`, and how a module gives them.
 *
 * Every hook is optional. How several modules act as one is in `chain.ts`; how they
 * are found and imported, in `loader.ts`.
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { WebSocket } from 'ws';
import type { Hlc } from '../clock/hlc.ts';
import type { SiteId } from '../clock/site-id.ts';
import type { ApplyResult, ChangeSet, RejectedChange } from '../wire/types.ts';

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
  /** Aborted when the call's time is up or the client has gone. */
  signal: AbortSignal;
}

/** Who a client is, once authenticated. `onAuthenticate` makes it; the other hooks get it. */
export interface ClientIdentity {
  userId?: string;
  siteId: SiteId;
  /** Filled in by the coordinator. */
  databaseId?: string;
  /** Anything a hook wants the later ones to know (claims, roles, …). */
  metadata?: Record<string, unknown>;
}

/** What a client wants to do. */
export type SyncOperation =
  | { type: 'get_changes'; databaseId: string; sinceHLC?: Hlc }
  | { type: 'apply_changes'; databaseId: string; changeCount: number }
  | { type: 'get_snapshot'; databaseId: string }
  | { type: 'resume_snapshot'; databaseId: string };

export interface ValidationResult {
  approved: ChangeSet[];
  rejected: RejectedChange[];
}

/** What every hook gets beside its own arguments, as its last argument. */
export interface HookCall {
  /** Aborted when the call's time (`hooks.timeoutMs`) is up or the server stops. */
  signal: AbortSignal;
}

type MaybePromise<T> = T | Promise<T>;

export interface CoordinatorHooks {
  /**
   * Says who a client is. Return an identity to accept, `undefined` to pass to the
   * next module ("not my kind of credential"), or throw to reject. The client is told
   * AUTH_FAILED, which is final; throw a SyncError to tell it anything else.
   */
  onAuthenticate?(context: AuthContext): MaybePromise<ClientIdentity | undefined>;
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
    call: HookCall,
  ): MaybePromise<ValidationResult>;
  /**
   * Told after the changes are durable. Its failure never reaches the client. The change
   * sets are shared with the other modules: only read them.
   */
  onAfterApplyChanges?(
    client: ClientIdentity,
    changes: ChangeSet[],
    result: ApplyResult,
    call: HookCall,
  ): MaybePromise<void>;
  /** Whether a WebSocket client may stay. Every module must say `true`. */
  onClientConnect?(
    client: ClientIdentity,
    socket: WebSocket,
    call: HookCall,
  ): MaybePromise<boolean>;
  /** Told when a WebSocket client has gone. */
  onClientDisconnect?(client: ClientIdentity, call: HookCall): MaybePromise<void>;
}

/** A hook module's default export, or a named `hooks` export: the hooks, or a function that makes them. */
export type HookModule<Options = unknown> =
  | CoordinatorHooks
  | ((options: Options) => MaybePromise<CoordinatorHooks>);

/** An entry of `hooks` in the config: a module, or a module with its options. */
export type HookEntry = string | readonly [module: string, options: unknown];

/** One module's hooks, ready for the chain. */
export interface LoadedHooks {
  /** For logs and metrics: the module as the config names it, or `code`. */
  name: string;
  /** Where it was found, for people. */
  source: string;
  hooks: CoordinatorHooks;
}
