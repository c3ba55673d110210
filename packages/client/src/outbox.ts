/**
 * Sends the writes that have no answer yet, the oldest first, one batch at a time, and decides by the
 * answer what becomes of each. How many go at once is bounded by changes and by bytes; a batch that
 * is refused is halved until what is guilty stands alone.
 */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import type { ApplyAnswer } from './connection/attempt.ts';
import { Backoff } from './connection/backoff.ts';
import { ServerError } from './connection/server-error.ts';
import type { Environment } from './environment.ts';
import type { ApplyResult, ChangeSet } from './protocol/messages.ts';

/** A write that is to be sent. */
export type Outgoing = readonly [hlc: HlcText, changeSet: ChangeSet];

/** What batches are sent by; a `Connection` is one. */
export interface Sender {
  readonly canApply: boolean;
  /** @param answered called once, later; what it returns is awaited before anything else is told */
  apply(changes: readonly ChangeSet[], answered: (answer: ApplyAnswer) => Promise<void>): void;
}

/** What the answers lead to. */
export interface OutboxPort {
  /** The writes without an answer that are durable here, in any order. */
  unanswered(): Iterable<Outgoing>;
  /** The server has taken a batch, but for what the result says. */
  answered(batch: readonly Outgoing[], result: ApplyResult): Promise<void>;
  /** The server refuses this write whole. */
  refused(write: Outgoing, error: ServerError): Promise<void>;
  /**
   * A write is dated too far ahead, and so are all later ones: gives them other dates by the server's
   * clock. What is older may have been stored, with its answer lost: dated anew it would count twice.
   */
  redate(from: HlcText, serverTimeMs: number): Promise<void>;
}

/** Below what the server asks for more after, so that it need not. */
const CHANGES_MAX = 400;
const CHARACTERS_MAX = 512 * 1024;
/** A refusal that may pass is followed by a pause, which grows. */
const PAUSE_MS = 1_000;
/** A batch that was under way so often when the connection was lost may be why it was. */
const LOSSES_MAX = 3;

/** What the server refuses for what is in the batch, so that another try is useless. */
export const GUILTY = ['MESSAGE_ERROR', 'NOT_AUTHORIZED', 'TOO_LARGE'];

export class Outbox {
  readonly #sender: Sender;
  readonly #port: OutboxPort;
  #isSending = false;
  /** At most so many writes at once, while a guilty one is looked for. */
  #writesMax = Number.POSITIVE_INFINITY;
  /** Connections in a row that were lost with a batch under way. */
  #losses = 0;
  #hasRedated = false;
  readonly #environment: Environment;
  readonly #backoff: Backoff;
  #cancelPause: (() => void) | undefined;

  constructor(sender: Sender, port: OutboxPort, environment: Environment) {
    this.#sender = sender;
    this.#port = port;
    this.#environment = environment;
    this.#backoff = new Backoff({ firstMs: PAUSE_MS }, environment);
  }

  /** Sends what there is, unless a batch is under way or may not be sent now. */
  flush(): void {
    if (this.#isSending || this.#cancelPause !== undefined || !this.#sender.canApply) return;
    const batch = this.#nextBatch();
    if (batch.length === 0) return;
    this.#isSending = true;
    this.#sender.apply(
      batch.map(([, changeSet]) => changeSet),
      (answer) => this.#take(batch, answer),
    );
  }

  /** Ends a pause. */
  stop(): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
  }

  #nextBatch(): Outgoing[] {
    const writes = [...this.#port.unanswered()].sort(([a], [b]) => compareHlc(a, b));
    const batch: Outgoing[] = [];
    let changes = 0;
    let characters = 0;
    let hasDdl = false;
    for (const write of writes) {
      const [, { changes: own, schemaMigrations = [] }] = write;
      changes += own.length + schemaMigrations.length;
      characters += JSON.stringify(write[1]).length;
      // The answer to DDL has to tell whether it took effect: it is sent alone.
      const isAlone = schemaMigrations.length > 0 || hasDdl;
      hasDdl = schemaMigrations.length > 0;
      const isFull = isAlone || changes > CHANGES_MAX || characters > CHARACTERS_MAX;
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
    if (answer === undefined) {
      if (++this.#losses > 1) this.#pause(0);
      if (this.#losses >= LOSSES_MAX) this.#writesMax = half(batch);
      return;
    }
    this.#losses = 0;
    if (!(answer instanceof ServerError)) {
      this.#backoff.reset();
      this.#hasRedated = false;
      // The half of a refused batch that was taken: the guilty one is in what follows.
      this.#writesMax *= 2;
      if (this.#writesMax > CHANGES_MAX) this.#writesMax = Number.POSITIVE_INFINITY;
      return this.#port.answered(batch, answer);
    }
    const { code, serverTimeMs, retryAfterMs } = answer;
    const [first] = batch;
    const isAhead = code === 'CLOCK_DRIFT' && serverTimeMs !== undefined;
    if (!(isAhead || GUILTY.includes(code)) || first === undefined)
      return this.#pause(retryAfterMs);
    if (batch.length > 1) {
      this.#writesMax = half(batch);
      return;
    }
    if (isAhead) {
      await this.#port.redate(first[0], serverTimeMs);
      if (this.#hasRedated) this.#pause(retryAfterMs);
      this.#hasRedated = true;
      return;
    }
    this.#writesMax = Number.POSITIVE_INFINITY;
    return this.#port.refused(first, answer);
  }

  #pause(retryAfterMs: number | undefined): void {
    this.stop();
    this.#cancelPause = this.#environment.after(this.#backoff.next(retryAfterMs), () => {
      this.stop();
      this.flush();
    });
  }
}

function half(batch: readonly Outgoing[]): number {
  return Math.ceil(batch.length / 2);
}
