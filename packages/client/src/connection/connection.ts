/**
 * The protocol on one socket at a time: lets itself in, asks for what was missed, takes in what
 * comes, and comes back when it is lost. It stores nothing and merges nothing: that is its `port`'s.
 *
 * What arrives is worked on one after the other, so a position is never stored before all that is
 * older. What happens when is in `states.ts`; this carries out what a new state demands.
 */

import type { Environment } from '../environment.ts';
import { Listeners } from '../listeners.ts';
import type { ChangeSet } from '../protocol/messages.ts';
import { type ApplyAnswer, answerLater } from './attempt.ts';
import { Backoff } from './backoff.ts';
import { Credentials, isExpiry, type Token } from './credentials.ts';
import type { ConnectionOptions, ConnectionPort, ConnectionStatus } from './options.ts';
import { retryAfterOf } from './server-error.ts';
import { ANSWER_MS, Session } from './session.ts';
import {
  type ConnectionEvent,
  type ConnectionState,
  hasSession,
  hasSocket,
  mayApply,
  nextState,
} from './states.ts';

/** So long a connection has to show that it has outlived the app's sleep. */
const WOKEN_MS = 5_000;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #port: ConnectionPort;
  readonly #environment: Environment;
  readonly #backoff: Backoff;
  readonly #listeners = new Listeners();
  #state: ConnectionState = 'stopped';
  #status: ConnectionStatus = { state: 'stopped' };
  readonly #credentials: Credentials;
  #session: Session | undefined;
  #cancelRetry: (() => void) | undefined;
  /** The server has asked not to be bothered before this time. */
  #notBefore = 0;
  /** Newer credentials were tried at once, and it has not been live since. */
  #hasRetriedExpired = false;
  /** Called with the server's wall clock, in milliseconds, where it tells it. */
  onServerTime: ((serverTimeMs: number) => void) | undefined;

  constructor(options: ConnectionOptions, port: ConnectionPort, environment: Environment) {
    this.#options = options;
    this.#port = port;
    this.#environment = environment;
    const { token, answerMs = ANSWER_MS } = options;
    this.#credentials = new Credentials(token, environment, answerMs, {
      expiring: () => {
        if (this.#state === 'live') this.#emit('expiring');
        // A long snapshot must not outlive its credentials.
        else void this.#session?.renew();
      },
      notRenewed: (error) => this.#emit('renewed', error),
    });
    this.#backoff = new Backoff(options.backoff ?? {}, environment);
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** @returns ends it */
  subscribe(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Tries at once, whatever was refused before. */
  connect(): void {
    this.#emit('start');
  }

  stop(): void {
    this.#emit('stop');
  }

  /** The network is there, or the app is seen again: tries at once, and checks a connection that seems open. */
  wake(): void {
    const before = this.#state;
    if (before === 'waiting' && this.#environment.now() < this.#notBefore) return;
    this.#emit('wake');
    // Where an app was asleep the end of a socket is often not told.
    if (hasSession(before)) this.#session?.attempt.check(WOKEN_MS);
  }

  /** The device has no network, or the app is not to use it: nothing is tried until `wake`. */
  sleep(): void {
    this.#emit('sleep');
  }

  /** From now on; the server is shown it as soon as may be, also where the one before was refused. */
  setToken(token: Token): void {
    this.#credentials.token = token;
    if (this.#state === 'refused') this.connect();
    else if (this.#state === 'waiting') this.wake();
    else if (this.#state === 'live') this.#emit('expiring');
  }

  /** Whether `apply` may be called. */
  get canApply(): boolean {
    return mayApply(this.#state);
  }

  /**
   * Sends a batch.
   * @param answered called once, later, in the order in which the server's messages came; what it
   *   returns is awaited before the next message is worked on
   */
  apply(changes: readonly ChangeSet[], answered: (answer: ApplyAnswer) => unknown): void {
    if (this.#session === undefined || !this.canApply) answerLater(answered, undefined);
    else this.#session.apply(changes, answered);
  }

  #emit(event: ConnectionEvent, error?: Error): void {
    const before = this.#state;
    const state = nextState(before, event);
    if (state === before) {
      if (error !== undefined) this.#tell({ error });
      return;
    }
    this.#state = state;
    this.#cancelRetry?.();
    if (!hasSocket(state)) this.#session?.attempt.end();
    const kept = state === 'live' ? undefined : this.#status.error;
    this.#status = { ...this.#status, state, error: error ?? kept };
    this.#enter(state, error);
    this.#listeners.notify();
  }

  #tell(more: Partial<ConnectionStatus>): void {
    this.#status = { ...this.#status, ...more };
    this.#listeners.notify();
  }

  /** What it does may lead on at once: nothing may follow on it. */
  #enter(state: ConnectionState, error: Error | undefined): void {
    switch (state) {
      case 'connecting':
        this.#open();
        return;
      case 'catchingUp':
        this.#session?.read({ type: 'get_changes', sinceHLC: this.#port.position() });
        return;
      case 'bootstrapping': {
        const checkpoint = this.#port.checkpoint();
        this.#session?.read(
          checkpoint === undefined
            ? { type: 'get_snapshot' }
            : { type: 'resume_snapshot', checkpoint },
        );
        return;
      }
      case 'live':
        this.#backoff.reset();
        this.#hasRetriedExpired = false;
        // Another one was set while it was not live.
        if (this.#credentials.isNewer) this.#emit('expiring');
        return;
      case 'renewing':
        void this.#session?.renew();
        return;
      case 'waiting':
        this.#wait(error);
    }
  }

  #wait(error: Error | undefined): void {
    let pause = 0;
    if (isExpiry(error) && !this.#hasRetriedExpired) {
      this.#hasRetriedExpired = true;
    } else {
      const retryAfterMs = retryAfterOf(error);
      pause = this.#backoff.next(retryAfterMs);
      this.#notBefore = this.#environment.now() + retryAfterMs;
    }
    this.#cancelRetry = this.#environment.after(pause, () => this.#emit('retry'));
  }

  #open(): void {
    const before = this.#session?.idle;
    this.#session = new Session(
      this.#options,
      this.#environment,
      this.#credentials,
      this.#port,
      {
        state: () => this.#state,
        emit: (event, error) => this.#emit(event, error),
        noted: (error) => this.#tell({ error }),
        welcomed: ({ serverSiteId, serverTimeMs }) => {
          this.#status = { ...this.#status, serverSiteId, error: undefined };
          if (serverTimeMs !== undefined) this.onServerTime?.(serverTimeMs);
        },
      },
      before,
    );
    void this.#session.open();
  }
}
