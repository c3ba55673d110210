/** What a connection is told, what it tells, and what it keeps up to date. */

import type { Transport } from '../environment.ts';
import type { Checkpoint, SentChangeSet, SnapshotChunk } from '../protocol/messages.ts';
import type { BackoffOptions } from './backoff.ts';
import type { Token } from './credentials.ts';
import type { ConnectionState } from './states.ts';

/** The replica that a connection keeps up to date. */
export interface ConnectionPort {
  /**
   * The position to go on from: of the last change set that came with `isOrdered`, or the `hlc` of a
   * snapshot's header. `undefined` for a replica that has to take a snapshot.
   */
  position(): string | undefined;
  /** How far a snapshot has got that was broken off. */
  checkpoint(): Checkpoint | undefined;
  /**
   * Takes in change sets, in this order. If `position` is `undefined` then, a snapshot is asked for.
   * @param isOrdered whether all before them has been received: then the `hlc` of the last one is the
   *   new position
   */
  receive(changeSets: readonly SentChangeSet[], isOrdered: boolean): Promise<void>;
  /** Takes in the next part of a snapshot. With a header it begins anew, unless the checkpoint has its id. */
  receiveChunk(chunk: SnapshotChunk): Promise<void>;
  /** What is held of others can't be brought up to date: `position` is to be `undefined` until a whole snapshot is there. */
  startOver(): Promise<void>;
}

export interface ConnectionOptions {
  /** `wss://…/sync/ws` */
  url: string;
  /** 22 characters of base64url. */
  siteId: string;
  /** Default: `default`. */
  databaseId?: string;
  /** Asked before each handshake, and before the credentials expire. */
  token?: Token;
  /** What carries the messages. Default: a WebSocket. */
  transport?: Transport;
  /** An idle connection is checked after so long. Default: 25,000. */
  pingMs?: number;
  /** So long a server has for the handshake, and to answer a ping. Default: 10,000. */
  answerMs?: number;
  backoff?: BackoffOptions;
}

export interface ConnectionStatus {
  state: ConnectionState;
  /** Why it is not live, or the last that went wrong. */
  error?: Error;
  /** Of the server's handshake; missing before the first one. */
  serverSiteId?: string;
}
