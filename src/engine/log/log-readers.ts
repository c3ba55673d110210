/**
 * Who reads the log here at the moment, and how far they are. The log is not shortened under them,
 * for some time: what is forgotten before a slow reader comes to it makes that one start over.
 */

import { type HlcText, minHlc } from '../../clock/hlc.ts';

/** A reader that takes longer takes its chance: the log can't wait for ever. */
const WAIT_MS_MAX = 10 * 60_000;

interface Reader {
  position: HlcText;
  readonly sinceMs: number;
}

/** One reader's place in the log. */
export interface LogReader {
  moveTo(position: HlcText): void;
  /** It reads no more. */
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

  /** What stands after it is still to be read, by those that are waited for; `undefined` if there are none. */
  get keepAfter(): HlcText | undefined {
    let keepAfter: HlcText | undefined;
    for (const { position, sinceMs } of this.#readers) {
      if (this.#now() - sinceMs > WAIT_MS_MAX) continue;
      keepAfter = keepAfter === undefined ? position : minHlc(keepAfter, position);
    }
    return keepAfter;
  }
}
