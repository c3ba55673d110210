/**
 * The protocol on one socket at a time: lets itself in, asks for what was missed, takes in what
 * comes, and comes back when it is lost. It stores nothing and merges nothing: that is its `port`'s.
 *
 * What arrives is worked on one after the other, so a position is never stored before all that is
 * older. What happens when is in `states.ts`; this carries out what a new state demands.
 */

import type { Environment } from '../environment.ts';
import type {
  ChangeSet,
  ErrorMessage,
  GetChangesMessage,
  GetSnapshotMessage,
  HandshakeAckMessage,
  ResumeSnapshotMessage,
  ServerMessage,
} from '../protocol/messages.ts';
import { type ApplyAnswer, Attempt, answerLater, toError } from './attempt.ts';
import { Backoff } from './backoff.ts';
import { Credentials, isExpiry, type Token } from './credentials.ts';
import type { ConnectionOptions, ConnectionPort, ConnectionStatus } from './options.ts';
import { retryAfterOf, ServerError } from './server-error.ts';
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
  readonly #answerMs: number;
  readonly #backoff: Backoff;
  readonly #listeners = new Set<() => void>();
  #state: ConnectionState = 'stopped';
  #status: ConnectionStatus = { state: 'stopped' };
  readonly #credentials: Credentials;
  #attempt: Attempt | undefined;
  #requests = 0;
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
    this.#answerMs = options.answerMs ?? 10_000;
    this.#credentials = new Credentials(options.token, environment, this.#answerMs, {
      expiring: () => {
        if (this.#state === 'live') this.#emit('expiring');
        // A long snapshot must not outlive its credentials.
        else void this.#renew();
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
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
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
    if (hasSession(before)) this.#attempt?.check(WOKEN_MS);
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

  /** Takes anew what is held of others, as a snapshot. */
  async startOver(): Promise<void> {
    await this.#port.startOver();
    if (this.canApply) this.#emit('snapshotNeeded');
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
    const attempt = this.#attempt;
    if (attempt === undefined || !this.canApply) {
      answerLater(answered, undefined);
      return;
    }
    const requestId = this.#nextRequest();
    attempt.answers.set(requestId, answered);
    attempt.send({ type: 'apply_changes', changes: [...changes], requestId });
  }

  #nextRequest(): string {
    return `${++this.#requests}`;
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
    if (!hasSocket(state)) this.#attempt?.end();
    const kept = state === 'live' ? undefined : this.#status.error;
    this.#status = { ...this.#status, state, error: error ?? kept };
    this.#enter(state, error);
    this.#notify();
  }

  #tell(more: Partial<ConnectionStatus>): void {
    this.#status = { ...this.#status, ...more };
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        // Told where uncaught errors are told: the connection goes on.
        void Promise.reject(error);
      }
    }
  }

  /** What it does may lead on at once: nothing may follow on it. */
  #enter(state: ConnectionState, error: Error | undefined): void {
    switch (state) {
      case 'connecting':
        void this.#open();
        return;
      case 'catchingUp':
        this.#read({ type: 'get_changes', sinceHLC: this.#port.position() });
        return;
      case 'bootstrapping': {
        const checkpoint = this.#port.checkpoint();
        this.#read(
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
        void this.#renew();
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

  async #open(): Promise<void> {
    const { url, siteId, databaseId, transport, pingMs = 25_000 } = this.#options;
    const answerMs = this.#answerMs;
    let token: string | undefined;
    const attempt = new Attempt(
      this.#environment,
      {
        opened: () => {
          this.#emit('opened');
          attempt.send({ type: 'handshake', siteId, databaseId, token, protocolVersion: 1 });
        },
        message: (message) => this.#receive(attempt, message),
        lost: (error) => this.#lose(attempt, error),
      },
      { pingMs, answerMs },
    );
    this.#attempt = attempt;
    // Also for a token that never comes.
    attempt.after(answerMs, () => {
      if (hasSession(this.#state)) return;
      this.#lose(attempt, new Error(`the server did not let the client in within ${answerMs} ms`));
    });
    try {
      token = await this.#credentials.ask();
      if (attempt.isOver) return;
      const environment = this.#environment;
      attempt.use(transport?.(url, environment) ?? environment.openSocket(url));
    } catch (cause) {
      this.#lose(attempt, toError(cause));
    }
  }

  #lose(attempt: Attempt, error: Error): void {
    // The same token would be refused again.
    const isFinal = this.#credentials.isFinal(error);
    this.#emitOf(attempt, isFinal ? 'fatal' : 'lost', error);
  }

  /** What an attempt that is over leads to is not the business of the next one. */
  #emitOf(attempt: Attempt, event: ConnectionEvent, error?: Error): void {
    if (!attempt.isOver) this.#emit(event, error);
  }

  #read(message: GetChangesMessage | GetSnapshotMessage | ResumeSnapshotMessage): void {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    attempt.isOrdered = false;
    attempt.reading = this.#nextRequest();
    attempt.send({ ...message, requestId: attempt.reading });
  }

  async #receive(attempt: Attempt, message: ServerMessage): Promise<void> {
    const isBootstrapping = this.#state === 'bootstrapping';
    switch (message.type) {
      case 'handshake_ack':
        return this.#welcome(attempt, message);
      case 'changes':
        // The rest of an answer that a snapshot has taken the place of.
        if (isBootstrapping) return;
        await this.#port.receive(message.changeSets, true);
        // A server that says nothing of more sends all of it in one message, but for very long answers.
        if (message.hasMore === true) return;
        attempt.reading = undefined;
        attempt.isOrdered = true;
        attempt.hasFreshSnapshot = false;
        return this.#emitOf(attempt, 'caughtUp');
      case 'push_changes':
        // What comes amid a snapshot is asked for after it.
        if (isBootstrapping) return;
        if (mayApply(this.#state) && !attempt.isOrdered) {
          throw new Error('it may read again: what was missed is asked for');
        }
        return this.#port.receive(message.changeSets, attempt.isOrdered);
      case 'snapshot_chunk':
        return isBootstrapping ? this.#port.receiveChunk(message.chunk) : undefined;
      case 'snapshot_complete':
        if (this.#port.position() === undefined) throw new Error('the snapshot was not whole');
        attempt.hasFreshSnapshot = true;
        return this.#emit('snapshotReceived');
      case 'apply_result': {
        const { type: _, requestId, ...result } = message;
        return this.#answer(attempt, requestId, result);
      }
      case 'authenticated':
        this.#credentials.taken(attempt, message.expiresAt);
        return this.#emit('renewed');
      case 'error':
        return this.#refused(attempt, message);
    }
  }

  async #answer(attempt: Attempt, requestId = '', answer: ApplyAnswer): Promise<void> {
    const answered = attempt.answers.get(requestId);
    attempt.answers.delete(requestId);
    await answered?.(answer);
  }

  #welcome(attempt: Attempt, message: HandshakeAckMessage): void {
    this.#status = { ...this.#status, serverSiteId: message.serverSiteId, error: undefined };
    const { serverTimeMs } = message;
    if (serverTimeMs !== undefined) {
      this.#credentials.hear(serverTimeMs);
      this.onServerTime?.(serverTimeMs);
    }
    this.#credentials.taken(attempt, message.expiresAt);
    this.#emit(this.#port.position() === undefined ? 'snapshotNeeded' : 'welcomed');
  }

  async #renew(): Promise<void> {
    const attempt = this.#attempt;
    if (attempt !== undefined) await this.#credentials.renew(attempt, this.#nextRequest());
  }

  async #refused(attempt: Attempt, message: ErrorMessage): Promise<void> {
    const { requestId, code, fatal } = message;
    const error = new ServerError(message);
    if (fatal) return this.#emit('fatal', error);
    if (attempt.answers.has(requestId ?? '')) {
      attempt.note(error);
      await this.#answer(attempt, requestId, error);
      if (code !== 'SNAPSHOT_REQUIRED') return;
    }
    if (!hasSession(this.#state)) throw error;
    if (code === 'SNAPSHOT_REQUIRED') {
      await this.#port.startOver();
      // Not at once again, where a snapshot is too old already when it has come.
      const isLate = this.#state === 'bootstrapping' || attempt.hasFreshSnapshot;
      return this.#emitOf(attempt, isLate ? 'lost' : 'snapshotNeeded', error);
    }
    if (requestId !== undefined && this.#credentials.isRenewing(requestId)) {
      return this.#credentials.failed(attempt, requestId, error);
    }
    const isAnswer = requestId !== undefined && requestId === attempt.reading;
    if (isAnswer && code === 'NOT_AUTHORIZED') {
      attempt.reading = undefined;
      return this.#emit('denied', error);
    }
    if (isAnswer || isExpiry(error)) throw error;
    attempt.note(error);
    this.#tell({ error });
  }
}
