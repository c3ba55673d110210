/**
 * Sends the writes that have no answer yet, the oldest first, one batch at a time, and decides by the
 * answer what becomes of each. How many go at once is bounded by changes and by bytes; a batch that
 * is refused is halved until what is guilty stands alone.
 */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import type { ApplyAnswer, Connection } from './connection/connection.ts';
import { ServerError } from './connection/server-error.ts';
import type { ApplyResult, ChangeSet } from './protocol/messages.ts';

/** A write that is to be sent. */
export type Outgoing = readonly [hlc: HlcText, changeSet: ChangeSet];

/** What the answers lead to. */
export interface OutboxPort {
  /** The writes without an answer that are durable here, in any order. */
  unanswered(): Iterable<Outgoing>;
  /** The server has taken a batch, but for what the result says. */
  answered(batch: readonly Outgoing[], result: ApplyResult): Promise<void>;
  /** The server refuses this write whole. */
  refused(write: Outgoing, error: ServerError): Promise<void>;
  /** All writes are dated too far ahead: gives them other dates by the server's clock. */
  redate(serverTimeMs: number | undefined): Promise<void>;
  after(ms: number, run: () => void): () => void;
}

/** Below what the server asks for more after, so that it need not. */
const CHANGES_MAX = 400;
const CHARACTERS_MAX = 512 * 1024;
/** A refusal that may pass is followed by a pause, which grows. */
const PAUSES_MS = [1_000, 2_000, 5_000, 10_000, 30_000];

/** What the server refuses for what is in the batch, so that another try is useless. */
const GUILTY = new Set([
  'MESSAGE_ERROR',
  'NOT_AUTHORIZED',
  'UNKNOWN_MESSAGE',
  'TOO_LARGE',
  'INVALID_DATABASE_ID',
]);

export class Outbox {
  readonly #connection: Connection;
  readonly #port: OutboxPort;
  #isSending = false;
  /** At most so many writes at once, while a guilty one is looked for. */
  #writesMax = Number.POSITIVE_INFINITY;
  #refusals = 0;
  #cancelPause: (() => void) | undefined;

  constructor(connection: Connection, port: OutboxPort) {
    this.#connection = connection;
    this.#port = port;
  }

  /** Sends what there is, unless a batch is under way or may not be sent now. */
  flush(): void {
    if (this.#isSending || this.#cancelPause !== undefined || !this.#connection.canApply) return;
    const batch = this.#nextBatch();
    if (batch.length === 0) return;
    this.#isSending = true;
    this.#connection.apply(
      batch.map(([, changeSet]) => changeSet),
      (answer) => this.#take(batch, answer),
    );
  }

  /** Ends a pause, as after another connection was made. */
  hurry(): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    this.flush();
  }

  #nextBatch(): Outgoing[] {
    const writes = [...this.#port.unanswered()].sort(([a], [b]) => compareHlc(a, b));
    const batch: Outgoing[] = [];
    let changes = 0;
    let characters = 0;
    for (const write of writes) {
      const [, { changes: own, schemaMigrations = [] }] = write;
      changes += own.length + schemaMigrations.length;
      characters += JSON.stringify(write[1]).length;
      const isFull = changes > CHANGES_MAX || characters > CHARACTERS_MAX;
      if (batch.length > 0 && (isFull || batch.length >= this.#writesMax)) break;
      batch.push(write);
    }
    return batch;
  }

  async #take(batch: readonly Outgoing[], answer: ApplyAnswer): Promise<void> {
    try {
      await this.#handle(batch, answer);
    } finally {
      this.#isSending = false;
    }
    this.flush();
  }

  async #handle(batch: readonly Outgoing[], answer: ApplyAnswer): Promise<void> {
    // Lost before the answer: it is sent again, and what was stored is skipped.
    if (answer === undefined) return;
    if (!(answer instanceof ServerError)) {
      this.#refusals = 0;
      // The half of a refused batch that was taken: the guilty one is in what follows.
      if (this.#writesMax !== Number.POSITIVE_INFINITY) this.#writesMax = grow(this.#writesMax);
      return this.#port.answered(batch, answer);
    }
    if (answer.code === 'CLOCK_DRIFT') {
      await this.#port.redate(answer.serverTimeMs);
      this.#pause(answer);
      return;
    }
    const [first] = batch;
    if (!GUILTY.has(answer.code) || first === undefined) {
      this.#pause(answer);
      return;
    }
    if (batch.length > 1) {
      this.#writesMax = Math.ceil(batch.length / 2);
      return;
    }
    this.#writesMax = Number.POSITIVE_INFINITY;
    return this.#port.refused(first, answer);
  }

  #pause({ retryAfterMs = 0 }: ServerError): void {
    const pause = PAUSES_MS[Math.min(this.#refusals++, PAUSES_MS.length - 1)] ?? 0;
    this.#cancelPause = this.#port.after(Math.max(pause, retryAfterMs), () => this.hurry());
  }
}

function grow(writesMax: number): number {
  return writesMax > CHANGES_MAX ? Number.POSITIVE_INFINITY : writesMax * 2;
}
