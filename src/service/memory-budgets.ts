/**
 * The memory for messages and answers under way, in total and for each client.
 *
 * A message is held as it arrived, and takes more memory while it is decoded and stored. The two
 * have separate budgets, so that arrived messages can always be worked off: a message that waits
 * for the second budget never keeps another one in work from finishing.
 */

import type { CoordinatorConfig } from '../config/schema.ts';
import type { InTurn } from '../engine/records/in-turn.ts';
import type { LimitName } from '../errors/limit-names.ts';
import { ByteBudget, type Reservation } from './budgets/byte-budget.ts';
import type { HoldingPeer } from './budgets/holdings.ts';
import { HookRows } from './budgets/hook-rows.ts';
import { bytesFor, type PageMemory, PageReads } from './budgets/page-reads.ts';
import { Turns } from './budgets/turns.ts';
import type { ReaderMemory } from './databases/database-reader.ts';
import { isWorthEncoding } from './http/answer-encoding.ts';

/**
 * Memory for storing a batch, for each byte of its JSON, with what the store takes for its commit;
 * measured at 4 to 13.
 */
export const WORK_FACTOR = 12;
/** How many reads may at once meet rows of unknown length. */
const ROW_READS_AT_ONCE = 4;
/** The share of `limits.bytesInFlight` for messages that have arrived. The rest is for work. */
const ARRIVED_SHARE = 1 / 4;
/** What there is beyond it for requests to which anybody may send a body. */
const STRANGERS_SHARE = 1 / 16;

type MemoryLimits = Pick<
  CoordinatorConfig['limits'],
  | 'bytesInFlight'
  | 'bytesInFlightPerClient'
  | 'answerBytes'
  | 'answerBytesPerClient'
  | 'pageBytes'
  | 'sharePerUser'
>;

export class MemoryBudgets {
  #httpBytes = 0;
  readonly #limits: MemoryLimits;
  /** Bodies and messages as they arrived, until they are answered. */
  readonly arrived: ByteBudget;
  /** The same for bodies that nobody's credentials came with: they take nothing from clients. */
  readonly strangers: ByteBudget;
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
  readonly #rowTurns = new Turns(ROW_READS_AT_ONCE);
  /** Runs reads of rows of unknown length, for snapshots and for hooks. */
  readonly rowReads: InTurn = (read) => this.#rowTurns.run(read);
  /** Reads pages of logs for `answers` and `hookReads`. */
  readonly pageReads = new PageReads();

  constructor(limits: MemoryLimits, onLimit: (limit: LimitName) => void) {
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
    this.strangers = inFlight(STRANGERS_SHARE);
    this.worked = inFlight(1 - ARRIVED_SHARE);
    const answers = { limit: 'limits.answerBytes', bytes: limits.answerBytes } as const;
    this.answers = new ByteBudget({
      total: answers,
      perClient: { limit: 'limits.answerBytesPerClient', bytes: limits.answerBytesPerClient },
      onLimit,
    });
    const perUser = (limits.answerBytes * limits.sharePerUser) / 100;
    this.hookReads = new ByteBudget({
      total: answers,
      perClient: { limit: 'limits.sharePerUser', bytes: perUser },
      onLimit,
    });
  }

  /**
   * The memory for what hooks read.
   * @param holder whose share it counts in: of the client whose call reads; where that is not
   *   known, of the database that is read
   */
  hookMemory(holder: string): ReaderMemory {
    const reserve = (bytes: number) => this.hookReads.reserve(holder, bytes);
    const rows = new HookRows({ reserve, inTurn: this.rowReads });
    return { reads: this.pageReads, rows, reserve };
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

  /** The part of `answers` that is over HTTP, and in no send queue. */
  get httpBytes(): number {
    return this.#httpBytes;
  }

  /**
   * Reads a page for HTTP, as soon as there is memory for it.
   * @param peer whoever takes the answer
   * @param encoder the memory for compressing it, if it is long enough for that
   * @returns the answer, and a function that gives back its memory: to be called when the answer
   *   has been sent or dropped
   * @throws SyncError OVERLOADED, or what `read` throws
   */
  async answer<Answer extends { length: number }>(
    client: string,
    read: (memory: PageMemory) => Promise<Answer>,
    peer: HoldingPeer,
    encoder = 0,
  ): Promise<[Answer, () => void]> {
    const expected = bytesFor(this.#limits.pageBytes, 'copied') + encoder;
    const room = await this.answers.reserve(client, expected, peer);
    try {
      const answer = await read({ reads: this.pageReads, room });
      room.adjust(heldBytes(answer, encoder));
      return [answer, this.#countHttp(answer, room)];
    } catch (error) {
      room.give();
      throw error;
    }
  }

  /**
   * Counts an answer over HTTP that has been made, as soon as there is memory for it.
   * @param peer whoever takes it
   * @returns see `answer`
   * @throws SyncError OVERLOADED
   */
  async made(
    client: string,
    answer: { length: number },
    peer: HoldingPeer,
    encoder = 0,
  ): Promise<() => void> {
    const room = await this.answers.reserve(client, heldBytes(answer, encoder), peer);
    return this.#countHttp(answer, room);
  }

  #countHttp({ length }: { length: number }, room: Reservation): () => void {
    this.#httpBytes += length;
    return () => {
      room.give();
      this.#httpBytes -= length;
    };
  }
}

/** @param encoder the memory for compressing it, if it is long enough for that */
function heldBytes({ length }: { length: number }, encoder: number): number {
  return length + (isWorthEncoding(length) ? encoder : 0);
}
