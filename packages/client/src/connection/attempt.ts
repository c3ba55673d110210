/**
 * One try at being connected: a socket with what belongs to it, which all ends with it. What arrives is
 * worked on one after the other. Once it is over nothing of it is told any more, however late it comes.
 */

import { WS_TOO_BIG } from '../../../../src/protocol/close-codes.ts';
import type { Environment, SocketLike } from '../environment.ts';
import type { ApplyResult, ClientMessage, ServerMessage } from '../protocol/messages.ts';
import { ServerError } from './server-error.ts';

/** What became of a batch. With `undefined` nobody knows: the connection was lost before the answer. */
export type ApplyAnswer = ApplyResult | ServerError | undefined;

export interface AttemptPort {
  opened(): void;
  /** Awaited before the next message is worked on; what it throws loses the attempt. */
  message(message: ServerMessage): Promise<void>;
  lost(error: Error): void;
  /** Whether the server owes an answer. */
  isAsked(): boolean;
  /** Nothing more will come. @param why where the last message that was sent was to blame */
  ended(why: ServerError | undefined): void;
}

export interface AttemptOptions {
  /** An idle connection is checked after so long. */
  pingMs: number;
  /** So long a server has to answer. */
  answerMs: number;
}

/** Timers can't be longer. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** So often a server may answer pings and not the request that it was sent. */
const SILENT_PINGS_MAX = 3;
/** So many characters may wait behind a message that is not taken within the time for an answer. */
const WAITING_MAX = 8 * 2 ** 20;
/** An error that was told so shortly before the end is why it ended. */
const REASON_MS = 5_000;

export class Attempt {
  isOver = false;
  /** Resolves when nothing is worked on any more. */
  idle: Promise<void> | undefined;
  readonly #environment: Environment;
  readonly #port: AttemptPort;
  readonly #options: AttemptOptions;
  readonly #cancels = new Set<() => void>();
  #socket: SocketLike | undefined;
  readonly #queue: { work: () => Promise<void>; size: number }[] = [];
  /** Characters in the queue. */
  #waiting = 0;
  #isWorking = false;
  #workSince = 0;
  #cancelCheck: (() => void) | undefined;
  #isChecking = false;
  #silentPings = 0;
  #told: { error: Error; at: number } | undefined;
  #tooBig: ServerError | undefined;

  constructor(environment: Environment, port: AttemptPort, options: AttemptOptions) {
    this.#environment = environment;
    this.#port = port;
    this.#options = options;
  }

  /** Runs something later, unless it is over by then. @returns cancels it */
  after(ms: number, run: () => void): () => void {
    const stop = this.#environment.after(Math.min(ms, TIMER_MAX_MS), () => {
      this.#cancels.delete(cancel);
      run();
    });
    const cancel = () => {
      this.#cancels.delete(cancel);
      stop();
    };
    this.#cancels.add(cancel);
    return cancel;
  }

  use(socket: SocketLike): void {
    this.#socket = socket;
    const ifOn =
      <A extends unknown[]>(handle: (...args: A) => void) =>
      (...args: A) => {
        if (!this.isOver) handle(...args);
      };
    socket.onopen = ifOn(() => this.#port.opened());
    socket.onmessage = ifOn(({ data }) => {
      // Whatever comes shows that the server is there.
      this.#isChecking = false;
      this.#checkAfter(this.#options.pingMs);
      const text = String(data);
      this.#work(() => this.#take(JSON.parse(text)), text.length);
    });
    // A close follows, and says as much.
    socket.onerror = () => undefined;
    socket.onclose = ifOn(({ code, reason }) =>
      // What came before it is worked on first: it may say why.
      this.#work(async () => {
        if (code === WS_TOO_BIG) {
          const message = 'the message was too large';
          this.#tooBig = new ServerError({ code: 'TOO_LARGE', message });
        }
        const { error, at = 0 } = this.#told ?? {};
        const isReason = this.#environment.now() - at < REASON_MS;
        throw (isReason && error) || new Error(`the connection closed: ${code} ${reason}`);
      }),
    );
  }

  /** @param size what it takes up while it waits, in characters */
  #work(work: () => Promise<void>, size = 0): void {
    this.#queue.push({ work, size });
    this.#waiting += size;
    if (!this.#isWorking) {
      this.#isWorking = true;
      this.idle = this.#workAll();
      return;
    }
    const isStuck = this.#environment.now() - this.#workSince > this.#options.answerMs;
    if (isStuck && this.#waiting > WAITING_MAX) {
      this.#lose(new Error('what the server sends could not be stored'));
    }
  }

  async #workAll(): Promise<void> {
    for (;;) {
      await undefined;
      const next = this.#queue.shift();
      if (next === undefined) break;
      this.#waiting -= next.size;
      this.#workSince = this.#environment.now();
      try {
        await next.work();
      } catch (cause) {
        this.#lose(toError(cause));
      }
    }
    this.#isWorking = false;
  }

  async #take(message: ServerMessage): Promise<void> {
    // These are no answer to what was asked.
    if (message.type !== 'pong' && message.type !== 'push_changes') this.#silentPings = 0;
    await this.#port.message(message);
  }

  #lose(error: Error): void {
    if (!this.isOver) this.#port.lost(error);
  }

  /** The server said that something went wrong, and may end the connection for it. */
  note(error: Error): void {
    this.#told = { error, at: this.#environment.now() };
  }

  send(message: ClientMessage): void {
    try {
      this.#socket?.send(JSON.stringify(message));
    } catch (cause) {
      // A socket that is closing throws; its close may never be told.
      this.#lose(toError(cause));
    }
  }

  #checkAfter(ms: number): void {
    this.#cancelCheck?.();
    this.#cancelCheck = this.after(ms, () => {
      if (!this.#port.isAsked() || this.#isWorking) this.#silentPings = 0;
      else if (++this.#silentPings > SILENT_PINGS_MAX) {
        this.#lose(new Error('the server does not answer what it was asked'));
        return;
      }
      this.check();
    });
  }

  /** Loses it unless the server shows within `answerMs` that it is there. */
  check(answerMs = this.#options.answerMs): void {
    if (this.#isChecking) return;
    this.#isChecking = true;
    this.#cancelCheck?.();
    this.#cancelCheck = this.after(answerMs, () =>
      this.#lose(new Error(`the server did not answer within ${answerMs} ms`)),
    );
    this.send({ type: 'ping' });
  }

  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#queue.length = 0;
    for (const cancel of [...this.#cancels]) cancel();
    try {
      this.#socket?.close(1000);
    } catch {
      // It can't be closed in the state that it is in.
    }
    this.#port.ended(this.#tooBig);
  }
}

/** Later: who is told may begin anew at once. What it throws is its own. */
export function answerLater(
  answered: (answer: ApplyAnswer) => unknown,
  answer: ServerError | undefined,
): void {
  Promise.resolve(answer)
    .then(answered)
    .catch(() => undefined);
}

export function toError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause), { cause });
}
