/**
 * The protocol on one socket at a time: lets itself in, asks for what was missed, takes in what
 * comes, and comes back when it is lost. It stores nothing and merges nothing: that is its `port`'s.
 *
 * What arrives is worked on one after the other, so a position is never stored before all that is
 * older. What happens when is in `states.ts`; this carries out what a new state demands.
 */

import type { Environment, SocketLike } from '../environment.ts';
import type {
  ApplyResult,
  ChangeSet,
  Checkpoint,
  ClientMessage,
  ErrorMessage,
  GetChangesMessage,
  GetSnapshotMessage,
  HandshakeAckMessage,
  ResumeSnapshotMessage,
  SentChangeSet,
  ServerMessage,
  SnapshotChunk,
} from '../protocol/messages.ts';
import { Backoff, type BackoffOptions } from './backoff.ts';
import { isTooBig, ServerError } from './server-error.ts';
import {
  type ConnectionEvent,
  type ConnectionState,
  hasSocket,
  mayApply,
  nextState,
} from './states.ts';

/** The replica that a connection keeps up to date. */
export interface ConnectionPort {
  /**
   * The position to go on from: of the last change set that came with `isOrdered`, or the `hlc` of a
   * snapshot's header. `undefined` for a replica that has to take a snapshot.
   */
  position(): string | undefined;
  /** How far a snapshot has got that was broken off. */
  checkpoint(): Checkpoint | undefined;
  /**
   * Takes in change sets, in this order.
   * @param isOrdered whether all before them has been received: then the `hlc` of the last one is the
   *   new position
   */
  receive(changeSets: readonly SentChangeSet[], isOrdered: boolean): Promise<void>;
  /** Takes in the next part of a snapshot. With a header it begins anew, unless the checkpoint has its id. */
  receiveChunk(chunk: SnapshotChunk): Promise<void>;
  /** What is held of others can't be brought up to date: `position` is to be `undefined` until a whole snapshot is there. */
  startOver(): Promise<void>;
}

export type Token = string | (() => string | undefined | Promise<string | undefined>);

export interface ConnectionOptions {
  /** `wss://…/sync/ws` */
  url: string;
  /** 22 characters of base64url. */
  siteId: string;
  /** Default: `default`. */
  databaseId?: string;
  /** Asked before each handshake, and before the credentials expire. */
  token?: Token;
  /** An idle connection is checked after so long. Default: 25,000. */
  pingMs?: number;
  /** So long a server has for the handshake, and to answer a ping. Default: 10,000. */
  answerMs?: number;
  backoff?: BackoffOptions;
}

/** What became of a batch. With `undefined` nobody knows: the connection was lost before the answer. */
export type ApplyAnswer = ApplyResult | ServerError | undefined;

export interface ConnectionStatus {
  state: ConnectionState;
  /** Why it is not live, or the last that went wrong. */
  error?: Error;
  /** Of the server's handshake; missing before the first one. */
  serverSiteId?: string;
}

/** This long before the credentials expire newer ones are asked for. */
const RENEW_AHEAD_MS = 30_000;
/** After so long another try is made when no newer token was to be had. */
const RENEW_AGAIN_MS = 5_000;
/** Timers can't be longer. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** One try at being connected. What is late of an older one is not listened to. */
interface Attempt {
  socket?: SocketLike;
  cancels: (() => void)[];
  answers: Map<string, (answer: ApplyAnswer) => unknown>;
  /** The request that is being answered with changes or a snapshot. */
  reading?: string;
  /** Cancels the check of an idle connection. */
  cancelPing?: () => void;
  inbox: Promise<void>;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #port: ConnectionPort;
  readonly #environment: Environment;
  readonly #backoff: Backoff;
  readonly #listeners = new Set<() => void>();
  #state: ConnectionState = 'stopped';
  #status: ConnectionStatus = { state: 'stopped' };
  #token: Token | undefined;
  #attempt: Attempt | undefined;
  #requests = 0;
  #wasTooBig = false;
  /** Called with the server's wall clock, in milliseconds, where it tells it. */
  onServerTime: ((serverTimeMs: number) => void) | undefined;

  constructor(options: ConnectionOptions, port: ConnectionPort, environment: Environment) {
    this.#options = options;
    this.#port = port;
    this.#environment = environment;
    this.#token = options.token;
    this.#backoff = new Backoff(options.backoff ?? {}, environment.random);
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** @returns ends it */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  connect(): void {
    this.#backoff.reset();
    this.#emit('start');
  }

  stop(): void {
    this.#emit('stop');
  }

  /** The network is there, or the app is seen again: tries at once, and checks a connection that seems open. */
  wake(): void {
    const before = this.#state;
    this.#emit('wake');
    if (hasSocket(before) && before !== 'connecting') this.#ping();
  }

  /** The device has no network: nothing is tried until `wake`. */
  sleep(): void {
    this.#emit('sleep');
  }

  /** From now on; a connection that was refused is tried again. */
  setToken(token: Token): void {
    this.#token = token;
    if (this.#state === 'refused') this.connect();
    else if (this.#state === 'live') this.#emit('expiring');
  }

  /** Whether `apply` may be called. */
  get canApply(): boolean {
    return mayApply(this.#state);
  }

  /**
   * Sends a batch.
   * @param answered called once, in the order in which the server's messages came; what it returns is
   *   awaited before the next message is worked on
   */
  apply(changes: readonly ChangeSet[], answered: (answer: ApplyAnswer) => unknown): void {
    const attempt = this.#attempt;
    if (attempt === undefined || !this.canApply) {
      answered(undefined);
      return;
    }
    const requestId = this.#nextRequest();
    attempt.answers.set(requestId, answered);
    this.#send({ type: 'apply_changes', changes: [...changes], requestId });
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
    if (hasSocket(before) && (!hasSocket(state) || state === 'connecting')) this.#abandon();
    const { serverSiteId } = this.#status;
    this.#status = {
      state,
      serverSiteId,
      ...(state === 'live' ? {} : { error: error ?? this.#status.error }),
    };
    this.#enter(state);
    this.#notify();
  }

  #tell(more: Partial<ConnectionStatus>): void {
    this.#status = { ...this.#status, ...more };
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #enter(state: ConnectionState): void {
    switch (state) {
      case 'connecting':
        this.#attempt = { cancels: [], answers: new Map(), inbox: Promise.resolve() };
        void this.#open(this.#attempt);
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
        return;
      case 'renewing':
        void this.#renew(this.#attempt);
        return;
      case 'waiting':
        this.#wait();
    }
  }

  /** The attempt before is over; how long the pause is hangs on how it ended. */
  #retryAfterMs = 0;

  #wait(): void {
    const pause = this.#backoff.next(this.#retryAfterMs);
    this.#retryAfterMs = 0;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#environment.after(pause, () => this.#emit('retry'));
  }

  #cancelRetry: (() => void) | undefined;

  async #askToken(): Promise<string | undefined> {
    const token = this.#token;
    return typeof token === 'function' ? token() : token;
  }

  async #open(attempt: Attempt): Promise<void> {
    this.#cancelRetry?.();
    // Also for a token that never comes.
    this.#within(attempt, 'the server did not let the client in');
    let token: string | undefined;
    let socket: SocketLike;
    try {
      token = await this.#askToken();
      if (this.#attempt !== attempt) return;
      socket = this.#environment.openSocket(this.#options.url);
    } catch (cause) {
      if (this.#attempt === attempt) this.#emit('lost', toError(cause));
      return;
    }
    attempt.socket = socket;
    const ifCurrent =
      <A extends unknown[]>(handle: (...args: A) => void) =>
      (...args: A) => {
        if (this.#attempt === attempt) handle(...args);
      };
    socket.onopen = ifCurrent(() => {
      this.#emit('opened');
      const { siteId, databaseId } = this.#options;
      this.#send({ type: 'handshake', siteId, databaseId, token, protocolVersion: 1 });
    });
    socket.onmessage = ifCurrent(({ data }) => {
      this.#scheduleCheck(attempt);
      attempt.inbox = attempt.inbox.then(() => this.#work(attempt, data));
    });
    socket.onerror = () => undefined;
    socket.onclose = ifCurrent(({ code, reason }) => {
      // What came before it is worked on first: it may say why.
      attempt.inbox = attempt.inbox.then(() => {
        if (this.#attempt !== attempt) return;
        this.#wasTooBig = isTooBig(code);
        const last = this.#status.error;
        this.#emit('lost', last ?? new Error(`the connection closed with ${code} ${reason}`));
      });
    });
  }

  /** Loses the attempt unless it gets further in time. */
  #within(attempt: Attempt, what: string): void {
    const { answerMs = 10_000 } = this.#options;
    const cancel = this.#environment.after(answerMs, () => {
      const isSlow = this.#state === 'connecting' || this.#state === 'handshaking';
      if (this.#attempt === attempt && isSlow) {
        this.#emit('lost', new Error(`${what} within ${answerMs} ms`));
      }
    });
    attempt.cancels.push(cancel);
  }

  /** Whatever comes shows that the server is there. */
  #scheduleCheck(attempt: Attempt): void {
    attempt.cancelPing?.();
    const { pingMs = 25_000 } = this.#options;
    attempt.cancelPing = this.#environment.after(pingMs, () => this.#ping());
  }

  #ping(): void {
    const attempt = this.#attempt;
    if (attempt?.socket === undefined) return;
    const { answerMs = 10_000 } = this.#options;
    attempt.cancelPing?.();
    attempt.cancelPing = this.#environment.after(answerMs, () => {
      if (this.#attempt !== attempt) return;
      this.#emit('lost', new Error(`the server did not answer within ${answerMs} ms`));
    });
    this.#send({ type: 'ping' });
  }

  #send(message: ClientMessage): void {
    const attempt = this.#attempt;
    if (attempt?.socket === undefined) return;
    try {
      attempt.socket.send(JSON.stringify(message));
    } catch (cause) {
      // A socket that is closing throws; its close may never be told.
      this.#emit('lost', toError(cause));
    }
  }

  #read(message: GetChangesMessage | GetSnapshotMessage | ResumeSnapshotMessage): void {
    const requestId = this.#nextRequest();
    if (this.#attempt !== undefined) this.#attempt.reading = requestId;
    this.#send({ ...message, requestId });
  }

  /** Ends an attempt: nothing that it still brings counts. */
  #abandon(): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (attempt === undefined) return;
    attempt.cancelPing?.();
    for (const cancel of attempt.cancels) cancel();
    try {
      attempt.socket?.close(1000);
    } catch {
      // It was not open yet.
    }
    const answer = this.#wasTooBig
      ? new ServerError({ code: 'TOO_LARGE', message: 'the message was too large', fatal: false })
      : undefined;
    this.#wasTooBig = false;
    for (const answered of attempt.answers.values()) answered(answer);
  }

  async #work(attempt: Attempt, data: unknown): Promise<void> {
    if (this.#attempt !== attempt) return;
    try {
      const message: ServerMessage = JSON.parse(String(data));
      await this.#receive(attempt, message);
    } catch (cause) {
      if (this.#attempt === attempt) this.#emit('lost', toError(cause));
    }
  }

  async #receive(attempt: Attempt, message: ServerMessage): Promise<void> {
    switch (message.type) {
      case 'handshake_ack':
        return this.#welcome(attempt, message);
      case 'changes':
        await this.#port.receive(message.changeSets, true);
        // A server that says nothing of more sends all of it in one message, but for very long answers.
        if (Reflect.get(message, 'hasMore') !== true) this.#emit('caughtUp');
        return;
      case 'push_changes':
        // What comes amid a snapshot is asked for after it.
        if (this.#state === 'bootstrapping') return;
        return this.#port.receive(message.changeSets, mayApply(this.#state));
      case 'snapshot_chunk':
        if (this.#state !== 'bootstrapping') return;
        return this.#port.receiveChunk(message.chunk);
      case 'snapshot_complete':
        if (this.#port.position() === undefined) throw new Error('the snapshot was not whole');
        this.#emit('snapshotReceived');
        return;
      case 'apply_result': {
        const { type: _, requestId = '', ...result } = message;
        const answered = attempt.answers.get(requestId);
        attempt.answers.delete(requestId);
        await answered?.(result);
        return;
      }
      case 'authenticated':
        this.#expectExpiry(attempt, message.expiresAt);
        this.#emit('renewed');
        return;
      case 'error':
        return this.#refused(attempt, message);
    }
  }

  #welcome(attempt: Attempt, message: HandshakeAckMessage): void {
    this.#tell({ serverSiteId: message.serverSiteId, error: undefined });
    const serverTimeMs: unknown = Reflect.get(message, 'serverTimeMs');
    if (typeof serverTimeMs === 'number') this.onServerTime?.(serverTimeMs);
    this.#expectExpiry(attempt, message.expiresAt);
    this.#emit(this.#port.position() === undefined ? 'snapshotNeeded' : 'welcomed');
  }

  #expectExpiry(attempt: Attempt, expiresAt: number | undefined): void {
    if (expiresAt === undefined || typeof this.#token !== 'function') return;
    const leftMs = expiresAt - this.#environment.now();
    const inMs = Math.max(leftMs - RENEW_AHEAD_MS, leftMs / 2, RENEW_AGAIN_MS);
    this.#renewIn(attempt, inMs);
  }

  #renewIn(attempt: Attempt, ms: number): void {
    const cancel = this.#environment.after(Math.min(ms, TIMER_MAX_MS), () => {
      if (this.#attempt !== attempt) return;
      // It may be catching up or receiving a snapshot just now.
      if (this.#state === 'live') this.#emit('expiring');
      else this.#renewIn(attempt, RENEW_AGAIN_MS);
    });
    attempt.cancels.push(cancel);
  }

  async #renew(attempt: Attempt | undefined): Promise<void> {
    if (attempt === undefined) return;
    try {
      const token = await this.#askToken();
      if (this.#attempt !== attempt) return;
      if (token === undefined) throw new Error('there is no token');
      this.#send({ type: 'authenticate', token, requestId: this.#nextRequest() });
    } catch (cause) {
      if (this.#attempt !== attempt) return;
      // Counts as being offline: the server says when it is too late.
      this.#emit('renewed');
      this.#tell({ error: toError(cause) });
      this.#renewIn(attempt, RENEW_AGAIN_MS);
    }
  }

  async #refused(attempt: Attempt, message: ErrorMessage): Promise<void> {
    const error = new ServerError(message);
    const { requestId = '', code, fatal, retryAfterMs = 0 } = message;
    const answered = attempt.answers.get(requestId);
    if (fatal) {
      this.#emit('fatal', error);
      return;
    }
    if (answered !== undefined) {
      attempt.answers.delete(requestId);
      await answered(error);
      return;
    }
    if (code === 'SNAPSHOT_REQUIRED') {
      await this.#port.startOver();
      if (this.#attempt === attempt) this.#emit('snapshotNeeded', error);
      return;
    }
    this.#retryAfterMs = retryAfterMs;
    const isReading = this.#state === 'catchingUp' || this.#state === 'bootstrapping';
    if (isReading && requestId === attempt.reading) this.#emit('lost', error);
    else this.#tell({ error });
  }
}

function toError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause), { cause });
}
