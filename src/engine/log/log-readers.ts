/**
 * The readers of the log in this process, and how far each has read. Maintenance does not compact
 * what they have yet to read, up to a time limit: a slower reader may have to start over.
 */

import { type HlcText, minHlc } from '../../clock/hlc.ts';

/** The log is not kept for a reader that takes longer than this. */
const WAIT_MS_MAX = 10 * 60_000;

interface Reader {
  position: HlcText;
  readonly sinceMs: number;
}

/** One registered reader. */
export interface LogReader {
  moveTo(position: HlcText): void;
  /** It has ended. */
  release(): void;
}

export class LogReaders {
  readonly #readers = new Set<Reader>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param position the reader has everything up to it */
  add(position: HlcText): LogReader {
    const reader: Reader = { position, sinceMs: this.#now() };
    this.#readers.add(reader);
    return {
      moveTo: (next) => {
        reader.position = next;
      },
      release: () => this.#readers.delete(reader),
    };
  }

  /** The log after this is kept for readers; `undefined` if none needs it. */
  get keepAfter(): HlcText | undefined {
    let keepAfter: HlcText | undefined;
    for (const { position, sinceMs } of this.#readers) {
      if (this.#now() - sinceMs > WAIT_MS_MAX) continue;
      keepAfter = keepAfter === undefined ? position : minHlc(keepAfter, position);
    }
    return keepAfter;
  }
}
