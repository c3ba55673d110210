/**
 * SIGHUP means two things: "load anew", and "your terminal is gone", which it is for a server that was
 * started on one. A server that has let go of its terminal (`disown`) outlives it, and is reloaded
 * by the next one as any other.
 */

import { isatty } from 'node:tty';
import { STANDARD_STREAMS } from './output.ts';

const LOOK_EVERY_MS = 5000;

export interface HangupAnswers {
  reload(): void;
  /** The terminal that the server was started on is gone. */
  stop(): void;
}

/** From the beginning of the process on; a hang-up that comes too early is answered later. */
export class Hangups {
  #answers: HangupAnswers | undefined;
  #isWaiting = false;
  #terminals = STANDARD_STREAMS.filter((fd) => isatty(fd));
  /** Those that were gone when they were last looked at. */
  #gone: readonly number[] = [];

  constructor() {
    process.on('SIGHUP', () => {
      if (this.#answers === undefined) this.#isWaiting = true;
      else this.#answer(this.#answers);
    });
    if (this.#terminals.length > 0) setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  answer(answers: HangupAnswers): void {
    this.#answers = answers;
    if (this.#isWaiting) this.#answer(answers);
  }

  #answer({ reload, stop }: HangupAnswers): void {
    // On Windows it is the console's window that closes, and nothing else.
    const isOver = process.platform === 'win32' || this.#terminals.some((fd) => !isatty(fd));
    if (isOver) stop();
    else reload();
  }

  /** The kernel sends the signal as the terminal goes: one that was gone before isn't what it tells of. */
  #look(): void {
    this.#terminals = this.#terminals.filter((fd) => !this.#gone.includes(fd));
    this.#gone = this.#terminals.filter((fd) => !isatty(fd));
  }
}
