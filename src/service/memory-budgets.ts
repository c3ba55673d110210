/**
 * The memory for messages and answers under way, in total and for each client.
 *
 * A message is held as it arrived, and takes more memory while it is decoded and stored. The two
 * have separate budgets, so that arrived messages can always be worked off: a message that waits
 * for the second budget never keeps another one in work from finishing.
 */

import type { CoordinatorConfig } from '../config/schema.ts';
import type { LimitName } from '../errors/limit-names.ts';
import { isWorthEncoding } from './answer-encoding.ts';
import { ByteBudget } from './byte-budget.ts';
import { HookRows } from './hook-rows.ts';
import { bytesFor, type PageMemory, PageReads } from './page-reads.ts';

/** Memory for storing a batch, for each byte of its JSON; measured at 4 to 10. */
const WORK_FACTOR = 8;
/** The share of `limits.bytesInFlight` for messages that have arrived. The rest is for work. */
const ARRIVED_SHARE = 1 / 4;

export class MemoryBudgets {
  #httpPageBytes = 0;
  readonly #limits: CoordinatorConfig['limits'];
  /** Bodies and messages as they arrived, until they are answered. */
  readonly arrived: ByteBudget;
  /** Batches that are being decoded and stored. */
  readonly worked: ByteBudget;
  /**
   * Answers, pages of pushes, and snapshots, from when they are read until the client has taken
   * them.
   */
  readonly answers: ByteBudget;
  /**
   * The same for logs and rows that hooks read. A separate budget, since an answer may wait for a hook that
   * reads the log, and the hook must not wait for the answer's memory.
   */
  readonly hookReads: ByteBudget;
  /** Rows that hooks read, in `hookReads`. */
  readonly hookRows = new HookRows((bytes) => this.hookReads.reserve('hooks', bytes));
  /** Reads pages of logs for `answers` and `hookReads`. */
  readonly pageReads = new PageReads();

  constructor(limits: CoordinatorConfig['limits'], onLimit: (limit: LimitName) => void) {
    this.#limits = limits;
    const inFlight = (share: number) =>
      new ByteBudget({
        total: { limit: 'limits.bytesInFlight', bytes: limits.bytesInFlight * share },
        perClient: {
          limit: 'limits.bytesInFlightPerClient',
          bytes: limits.bytesInFlightPerClient * share,
        },
        onLimit,
      });
    this.arrived = inFlight(ARRIVED_SHARE);
    this.worked = inFlight(1 - ARRIVED_SHARE);
    const answers = { limit: 'limits.answerBytes', bytes: limits.answerBytes } as const;
    this.answers = new ByteBudget({
      total: answers,
      perClient: { limit: 'limits.answerBytesPerClient', bytes: limits.answerBytesPerClient },
      onLimit,
    });
    this.hookReads = new ByteBudget({ total: answers, perClient: answers, onLimit });
  }

  /**
   * Runs `work` on a message of `bytes` bytes, as soon as there is memory for it.
   * @throws SyncError OVERLOADED
   */
  async work<T>(client: string, bytes: number, work: () => Promise<T>): Promise<T> {
    const weight = bytes * WORK_FACTOR;
    const room = this.worked.take(client, weight);
    if (room !== undefined) await room;
    try {
      return await work();
    } finally {
      this.worked.give(client, weight);
    }
  }

  /** The part of `answers` that is pages over HTTP, which are in no send queue. */
  get httpPageBytes(): number {
    return this.#httpPageBytes;
  }

  /**
   * Reads a page for HTTP, as soon as there is memory for it.
   * @param encoder the memory for compressing it, if it is long enough for that
   * @returns the answer, and a function that gives back its memory: to be called when the answer
   *   has been sent or dropped
   * @throws SyncError OVERLOADED, or what `read` throws
   */
  async answer<Answer extends { length: number }>(
    client: string,
    read: (memory: PageMemory) => Promise<Answer>,
    encoder = 0,
  ): Promise<[Answer, () => void]> {
    const expected = bytesFor(this.#limits.pageBytes, 'copied') + encoder;
    const room = await this.answers.reserve(client, expected);
    try {
      const answer = await read({ reads: this.pageReads, room });
      room.adjust(answer.length + (isWorthEncoding(answer.length) ? encoder : 0));
      this.#httpPageBytes += answer.length;
      const taken = () => {
        room.give();
        this.#httpPageBytes -= answer.length;
      };
      return [answer, taken];
    } catch (error) {
      room.give();
      throw error;
    }
  }
}
