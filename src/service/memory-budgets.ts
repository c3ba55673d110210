/**
 * What the messages and answers that are under way may take of the memory, in all and for each client.
 *
 * A message is held as it arrived, and, while it is being worked on, as what it was decoded to and what is
 * written of it. Each of the two has a budget of its own, so that what has arrived can always be
 * worked off: who waits for the second never keeps another from ending with it.
 */

import type { CoordinatorConfig } from '../config/schema.ts';
import type { LimitName } from '../errors/limit-names.ts';
import { ByteBudget } from './byte-budget.ts';
import { bytesFor, type PageMemory, PageReads } from './page-reads.ts';

/** What a batch takes while it is stored, for each byte of its JSON; measured at 4 to 10. */
const WORK_FACTOR = 8;
/** Of `limits.bytesInFlight`, for what is only there. */
const ARRIVED_SHARE = 1 / 4;

export class MemoryBudgets {
  #httpPageBytes = 0;
  readonly #limits: CoordinatorConfig['limits'];
  /** Bodies and messages as they came, until they are answered. */
  readonly arrived: ByteBudget;
  /** Batches that are being decoded and stored. */
  readonly worked: ByteBudget;
  /** Answers, pages of pushes and snapshots, from when they are read until they have been taken. */
  readonly answers: ByteBudget;
  /**
   * The same for what hooks read of logs. It is a bound of its own: a hook may hold up an answer until it has read,
   * and would wait for what that holds.
   */
  readonly hookReads: ByteBudget;
  /** What is read of logs for `answers` and `hookReads`. */
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
   * Runs `work` on a message of so many bytes once there is room for what it becomes.
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

  /** Of `answers`: pages over HTTP, which are in no socket's queue of ours. */
  get httpPageBytes(): number {
    return this.#httpPageBytes;
  }

  /**
   * Reads a page over HTTP once there is room for one.
   * @returns the answer, and what gives its bytes back once it has been taken, or nobody wants it
   * @throws SyncError OVERLOADED, or what `read` throws
   */
  async answer<Answer extends { length: number }>(
    client: string,
    read: (memory: PageMemory) => Promise<Answer>,
  ): Promise<[Answer, () => void]> {
    const expected = bytesFor(this.#limits.pageBytes, 'copied');
    const room = await this.answers.reserve(client, expected);
    try {
      const answer = await read({ reads: this.pageReads, room });
      room.adjust(answer.length);
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
