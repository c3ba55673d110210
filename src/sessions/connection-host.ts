/** What a session gets from its connection: the client's filters, and memory for what is sent. */

import type { InTurn } from '../engine/records/in-turn.ts';
import { type SyncError, toSyncError } from '../errors/sync-error.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity } from '../hooks/types.ts';
import { WS_CLOSE } from '../protocol/close-codes.ts';
import { isDenial, type Reader } from '../service/access/rights.ts';
import type { Reservation } from '../service/budgets/byte-budget.ts';
import type { HoldingPeer } from '../service/budgets/holdings.ts';
import type { InFlight } from '../service/budgets/in-flight.ts';
import type { PageReads } from '../service/budgets/page-reads.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import type { MessageDeflater } from '../service/delivery/message-deflater.ts';
import type { PushFilter, ReadFilter } from '../service/delivery/read-filter.ts';
import type { SendQueue } from './send-queue.ts';
import type { Session } from './session.ts';
import type { SessionHost } from './session-host.ts';

export interface ConnectionHostOptions {
  service: CoordinatorService;
  sendQueue: SendQueue;
  reader: Reader;
  /** `undefined` before the handshake is accepted. */
  session(): Session | undefined;
  /** The client's requests that are not answered yet. */
  inFlight: InFlight;
  /** Whose share of memory the session's answers count in. */
  holder(): string;
  /** Aborted when the socket closes. */
  signal(): AbortSignal;
  fail(error: SyncError): void;
}

export class ConnectionHost implements SessionHost {
  readonly #options: ConnectionHostOptions;

  readonly #peer: HoldingPeer;

  constructor(options: ConnectionHostOptions) {
    this.#options = options;
    const { sendQueue } = options;
    this.#peer = {
      moved: () => sendQueue.takenBytes,
      get isAwaited() {
        return sendQueue.queuedBytes > 0;
      },
      giveWay: ({ code }) => sendQueue.close(WS_CLOSE.tryAgain, code),
    };
  }

  get inFlight(): InFlight {
    return this.#options.inFlight;
  }

  readFilterOf(origin?: CallOrigin): ReadFilter | undefined {
    const { service, reader, signal } = this.#options;
    // Without the hook don't create an abort signal.
    if (!service.hooks.has.onBeforeSendChanges) return undefined;
    return service.delivery.readFilterOf(reader, signal(), origin);
  }

  pushFilterOf(identity: ClientIdentity): PushFilter | undefined {
    const { service, reader, signal } = this.#options;
    const { hooks } = service;
    if (!hooks.has.onBeforeSendChanges) return undefined;
    const key = hooks.viewKey(identity);
    // Sessions with the same key wait for one answer, so it must not end with one of their sockets.
    const filter =
      key === undefined
        ? service.delivery.readFilterOf(reader, signal())
        : service.delivery.readFilterOf({ who: () => identity });
    // With the generation: pages made by other modules must not be shared.
    const shared = key === undefined ? undefined : `${service.admission.generation} ${key}`;
    return filter && { filter, key: shared };
  }

  readDenied(error: SyncError, answers: HookAnswer[]): void {
    const { service, sendQueue, fail, signal } = this.#options;
    const session = this.#options.session();
    // Told once, not at every question.
    if (session === undefined || !session.right.isLost) return;
    fail(error);
    service.admission
      .readLost(session.identity, session.database.id, answers, signal())
      // A client that may do nothing any more is closed.
      .catch((why: unknown) => isDenial(why) && sendQueue.close(WS_CLOSE.policy, error.code));
  }

  reserve(bytes: number, isShared = false): Promise<Reservation> {
    // What several sessions are sent waits for the slowest of them: that is for `limits.stalledMs`.
    const peer = isShared ? undefined : this.#peer;
    return this.#options.service.memory.answers.reserve(this.#payer(isShared), bytes, peer);
  }

  tryReserve(bytes: number, isShared: boolean): Reservation | undefined {
    return this.#options.service.memory.answers.tryReserve(this.#payer(isShared), bytes);
  }

  #payer(isShared: boolean): string {
    const { session, holder } = this.#options;
    return isShared ? `all of ${session()?.database.id}` : holder();
  }

  get reads(): PageReads {
    return this.#options.service.memory.pageReads;
  }

  get rowReads(): InTurn {
    return this.#options.service.memory.rowReads;
  }

  get deflater(): MessageDeflater {
    return this.#options.service.deflater;
  }

  hasMemory(bytes: number): boolean {
    const { service, holder } = this.#options;
    return service.memory.answers.hasRoom(holder(), bytes);
  }

  pushed(changeSets: number): void {
    this.#options.service.metrics.changesPushed.inc(changeSets);
  }

  fellBehind(): void {
    this.#options.service.metrics.limitMet('limits.queuedBytesPerSocket');
  }

  failed(error: unknown): void {
    const { sendQueue, fail } = this.#options;
    fail(toSyncError(error, 'GET_CHANGES_ERROR', 'a push could not be read'));
    sendQueue.close(WS_CLOSE.tryAgain, 'try again');
  }
}
