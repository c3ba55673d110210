/**
 * Carries out a session's requests. Batches take their places in the order in which they were sent.
 * A read is answered after the batches before it. Meanwhile further messages are taken.
 */

import type { HlcText } from '../clock/hlc.ts';
import { toSyncError } from '../errors/sync-error.ts';
import type { CallOrigin } from '../hooks/types.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { ClientMessage } from '../protocol/schemas.ts';
import type { ServerMessage } from '../protocol/server-messages.ts';
import type { ApplyResult } from '../protocol/types.ts';
import { type Applied, readyAnswer } from '../service/apply/answer.ts';
import { BatchLine } from '../service/apply/batch-line.ts';
import { withoutWinningValues } from '../service/apply/conflicting.ts';
import { applyAnswer } from '../wire/apply-answer.ts';
import type { Connection } from './connection.ts';
import type { Session } from './session.ts';

export type Request = Exclude<
  ClientMessage,
  { type: 'handshake' } | { type: 'authenticate' } | { type: 'ping' }
>;
type Apply = Extract<ClientMessage, { type: 'apply_changes' }>;

/** The error of a request whose cause has no code of its own. */
const FALLBACK_CODES: Record<Request['type'], [ErrorCode, string]> = {
  get_changes: ['GET_CHANGES_ERROR', 'the changes could not be read'],
  apply_changes: ['APPLY_CHANGES_ERROR', 'the changes could not be stored'],
  get_snapshot: ['SNAPSHOT_ERROR', 'the snapshot could not be read'],
  resume_snapshot: ['SNAPSHOT_ERROR', 'the snapshot could not be read'],
};

/** With more bytes queued on the socket, an answer to a batch holds no values. */
const QUEUED_BYTES_MAX = 64 * 1024;

export class Requests {
  readonly #connection: Connection;
  readonly #line: BatchLine;
  /** Those that are not answered yet. */
  #size = 0;
  #onFewer: (() => void) | undefined;
  /** Settles when the last batch has been answered. */
  #lastApply: Promise<void> | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#line = new BatchLine(connection.reader, connection.service.clients);
  }

  /** How many are not answered yet. */
  get size(): number {
    return this.#size;
  }

  /** Resolves when fewer than `limit` are not answered yet. Only one caller may wait at a time. */
  async below(limit: number): Promise<void> {
    while (this.#size >= limit) {
      await new Promise<void>((resolve) => {
        this.#onFewer = resolve;
      });
    }
  }

  /** Resolves once the present hook modules have accepted the client; `undefined` if they have. */
  becomeCurrent(): Promise<void> | undefined {
    return this.#line.isCurrent ? undefined : this.#line.becomeCurrent();
  }

  /** Settles when the batches that `take` begins have been answered. */
  async withAnswers(take: () => Promise<void>, taken: () => void): Promise<void> {
    const before = this.#lastApply;
    await take();
    taken();
    if (this.#lastApply !== before) await this.#lastApply;
  }

  /** @returns settles when the next message may be taken: a batch has its place in the queue */
  take(message: Request, session: Session, origin: CallOrigin): Promise<void> | undefined {
    if (message.type === 'apply_changes') return this.#apply(message, session, origin);
    void this.#read(message, session, origin);
    return undefined;
  }

  #apply(message: Apply, session: Session, origin: CallOrigin): Promise<void> {
    const { service, signal, sendQueue } = this.#connection;
    const { accepted, applied } = service.batches.apply(
      session.identity,
      session.database,
      message.changes,
      { line: this.#line, right: session.right.apart(), signal, origin },
    );
    const before = this.#lastApply;
    this.#lastApply = this.#serve(message, async () => {
      let outcome: Applied;
      try {
        outcome = await applied;
      } finally {
        // Batches of one group may be ready in another order, and are answered in theirs.
        await before;
      }
      const { made, drainAfter } = await readyAnswer(outcome, (it) => this.#answerTo(message, it));
      sendQueue.send(made);
      this.#goOn(outcome.isFull, drainAfter, session);
    });
    return accepted;
  }

  #answerTo({ requestId }: Apply, result: ApplyResult) {
    const isBehind = this.#connection.sendQueue.queuedBytes > QUEUED_BYTES_MAX;
    const told = isBehind ? withoutWinningValues(result) : result;
    return applyAnswer(told, { type: 'apply_result', requestId } satisfies Partial<ServerMessage>);
  }

  #goOn(isFull: boolean, drainAfter: HlcText | undefined, session: Session): void {
    const { service, replies } = this.#connection;
    if (isFull) service.startingOver.endFull(session.database.id, session.siteId);
    if (isFull || drainAfter === undefined) return;
    const siteId = session.database.manager.identity.siteIdText;
    replies.send({ type: 'request_changes', siteId, sinceHLC: drainAfter });
  }

  async #read(
    message: Exclude<Request, Apply>,
    session: Session,
    origin: CallOrigin,
  ): Promise<void> {
    const before = this.#lastApply;
    const answer = async () => {
      await before;
      await this.#answer(message, session, origin);
    };
    await this.#serve(message, () => session.answer(answer, origin));
  }

  async #answer(
    message: Exclude<Request, Apply>,
    session: Session,
    origin: CallOrigin,
  ): Promise<void> {
    const { service, reader, sendQueue, signal } = this.#connection;
    const { database, right } = session;
    if (message.type === 'get_changes') {
      const query = { sinceHLC: message.sinceHLC ?? undefined, signal, origin };
      const { after } = await service.delivery.begin(right, database, query);
      const stopTimer = service.delivery.querySeconds.startTimer();
      await session.sendChanges(after, message.requestId);
      stopTimer();
      return;
    }
    const checkpoint = message.type === 'resume_snapshot' ? message.checkpoint : undefined;
    const queuedBytes = () => sendQueue.queuedBytes;
    const asking = { checkpoint, signal, origin, queuedBytes };
    await session.sendSnapshot(
      (memory) => service.delivery.snapshots.open(reader, database, { ...asking, memory }),
      message.requestId,
    );
  }

  /** Runs work in the background, and tells the client if it fails. */
  async #serve(message: Request, work: () => Promise<void>): Promise<void> {
    this.#size++;
    try {
      await work();
    } catch (error) {
      const [code, text] = FALLBACK_CODES[message.type];
      this.#connection.replies.fail(toSyncError(error, code, text), message.requestId);
    } finally {
      this.#size--;
      this.#onFewer?.();
    }
  }
}
