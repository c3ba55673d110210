/**
 * SIGHUP means two things: "load anew", and "your terminal is gone", which it is for a server that was
 * started on one. A server that has let go of its terminal (`disown`) outlives it, and is reloaded
 * by the next one as any other.
 */

import { isatty } from 'node:tty';
import { STANDARD_STREAMS } from './output.ts';

const LOOK_EVERY_MS = 5000;

export interface HangupAnswers {
  /** Not called again before it has settled. */
  reload(): Promise<void>;
  /** The terminal that the server was started on is gone. */
  stop(): void;
}

/** One that comes too early, or while an earlier one is answered, is answered later: several at once. */
export class Hangups {
  #answers: HangupAnswers | undefined;
  #isWaiting = false;
  #isReloading = false;
  #terminals = STANDARD_STREAMS.filter((fd) => isatty(fd));
  /** Those that were gone when they were last looked at. */
  #gone: readonly number[] = [];

  constructor() {
    process.on('SIGHUP', () => this.#take());
    if (this.#terminals.length > 0) setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  /** Of one that came before this listened. */
  note(): void {
    this.#isWaiting = true;
  }

  answer(answers: HangupAnswers): void {
    this.#answers = answers;
    if (this.#isWaiting) this.#take();
  }

  #take(): void {
    this.#isWaiting = true;
    if (this.#answers === undefined) return;
    // On Windows it is the console's window that closes, and nothing else.
    const isOver = process.platform === 'win32' || this.#terminals.some((fd) => !isatty(fd));
    if (isOver) this.#answers.stop();
    else if (!this.#isReloading) void this.#reload(this.#answers);
  }

  async #reload(answers: HangupAnswers): Promise<void> {
    this.#isReloading = true;
    while (this.#isWaiting) {
      this.#isWaiting = false;
      await answers.reload();
    }
    this.#isReloading = false;
  }

  /** The kernel sends the signal as the terminal goes: one that was gone before isn't what it tells of. */
  #look(): void {
    this.#terminals = this.#terminals.filter((fd) => !this.#gone.includes(fd));
    this.#gone = this.#terminals.filter((fd) => !isatty(fd));
  }
}
