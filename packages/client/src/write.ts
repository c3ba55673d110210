/** A transaction of the app, and what becomes of it. */

import type { HlcText } from '../../../src/clock/hlc.ts';
import type { OutcomeState } from './replica/entries.ts';

/**
 * - `local`: there, but without an answer of the server
 * - `acknowledged`: taken, and durable there
 * - `rejected`: the server refused it or some of its changes: see the client's `outcomes`
 * - `superseded`: all or some of its changes lost against newer ones: see the client's `outcomes`
 */
export type WriteState = 'local' | Fate;

/** What became of it. */
export type Fate = 'acknowledged' | OutcomeState;

export class Write {
  /** Its newest HLC when it was made; writes that are dated anew keep it. */
  readonly id: HlcText;
  /** Resolves with what became of it, never before that is durable on the server. */
  readonly settled: Promise<Fate>;
  #state: WriteState = 'local';
  #settle: (state: Fate) => void = () => {};
  /** Resolves when the write outlives the end of the app. */
  readonly durable: Promise<void>;

  constructor(id: HlcText, durable: Promise<void>) {
    this.id = id;
    this.durable = durable;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get state(): WriteState {
    return this.#state;
  }

  /** For the client. */
  settle(state: Fate): void {
    if (this.#state !== 'local') return;
    this.#state = state;
    this.#settle(state);
  }
}
