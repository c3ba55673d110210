/** What a session gets from its connection: the client's filters, and memory for what is sent. */

import type { InTurn } from '../engine/records/in-turn.ts';
import { type SyncError, toSyncError } from '../errors/sync-error.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity } from '../hooks/types.ts';
import { WS_CLOSE } from '../protocol/close-codes.ts';
import { isDenial, readerOf } from '../service/access/rights.ts';
import type { Reservation } from '../service/budgets/byte-budget.ts';
import type { HoldingPeer } from '../service/budgets/holdings.ts';
import type { PageReads } from '../service/budgets/page-reads.ts';
import type { MessageDeflater } from '../service/delivery/message-deflater.ts';
import { type PushFilter, type ReadFilter, readFilterOf } from '../service/delivery/read-filter.ts';
import type { Connection } from './connection.ts';
import type { Requests } from './requests.ts';
import type { SessionHost } from './session-host.ts';

/** It is the other end of what its session holds, too. */
export class ConnectionHost implements SessionHost, HoldingPeer {
  readonly #connection: Connection;
  /** The client's requests that are not answered yet. */
  readonly inFlight: Pick<Requests, 'size'>;

  constructor(connection: Connection, inFlight: Pick<Requests, 'size'>) {
    this.#connection = connection;
    this.inFlight = inFlight;
  }

  moved(): number {
    return this.#connection.sendQueue.takenBytes;
  }

  get isAwaited(): boolean {
    return this.#connection.sendQueue.queuedBytes > 0;
  }

  giveWay({ code }: SyncError): void {
    this.#connection.sendQueue.close(WS_CLOSE.tryAgain, code);
  }

  readFilterOf(origin?: CallOrigin): ReadFilter | undefined {
    const { service, reader } = this.#connection;
    // Without the hook don't create an abort signal.
    if (!service.hooks.has.onBeforeSendChanges) return undefined;
    return readFilterOf(service.hooks, reader, this.#connection.signal, origin);
  }

  pushFilterOf(identity: ClientIdentity): PushFilter | undefined {
    const { service, reader } = this.#connection;
    const { hooks } = service;
    if (!hooks.has.onBeforeSendChanges) return undefined;
    const key = hooks.viewKey(identity);
    // Sessions with the same key wait for one answer, so it must not end with one of their sockets.
    const filter =
      key === undefined
        ? readFilterOf(hooks, reader, this.#connection.signal)
        : readFilterOf(hooks, readerOf(identity));
    // With the generation: pages made by other modules must not be shared.
    const shared = key === undefined ? undefined : `${service.clients.generation} ${key}`;
    return filter && { filter, key: shared };
  }

  readDenied(error: SyncError, answers: HookAnswer[]): void {
    const { service, sendQueue, replies, session } = this.#connection;
    // Told once, not at every question.
    if (session === undefined || !session.right.isLost) return;
    replies.fail(error);
    service.admission
      .readLost(session.identity, session.database.id, answers, this.#connection.signal)
      // A client that may do nothing any more is closed.
      .catch((why: unknown) => isDenial(why) && sendQueue.close(WS_CLOSE.policy, error.code));
  }

  reserve(bytes: number, isShared = false): Promise<Reservation> {
    // What several sessions are sent waits for the slowest of them: that is for `limits.stalledMs`.
    const peer = isShared ? undefined : this;
    return this.#connection.service.memory.answers.reserve(this.#payer(isShared), bytes, peer);
  }

  tryReserve(bytes: number, isShared: boolean): Reservation | undefined {
    return this.#connection.service.memory.answers.tryReserve(this.#payer(isShared), bytes);
  }

  #payer(isShared: boolean): string {
    const { session, holder } = this.#connection;
    return isShared ? `all of ${session?.database.id}` : holder;
  }

  get reads(): PageReads {
    return this.#connection.service.memory.pageReads;
  }

  get rowReads(): InTurn {
    return this.#connection.service.memory.rowReads;
  }

  get deflater(): MessageDeflater {
    return this.#connection.service.deflater;
  }

  hasMemory(bytes: number): boolean {
    const { service, holder } = this.#connection;
    return service.memory.answers.hasRoom(holder, bytes);
  }

  pushed(changeSets: number): void {
    this.#connection.service.metrics.changesPushed.inc(changeSets);
  }

  fellBehind(): void {
    this.#connection.service.metrics.limitMet('limits.queuedBytesPerSocket');
  }

  failed(error: unknown): void {
    const { sendQueue, replies } = this.#connection;
    replies.fail(toSyncError(error, 'GET_CHANGES_ERROR', 'a push could not be read'));
    sendQueue.close(WS_CLOSE.tryAgain, 'try again');
  }
}
