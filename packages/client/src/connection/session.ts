/**
 * What client and server say to each other on one socket: what was asked for, and what is done with
 * what comes. It leads to events; what these lead to is the connection's.
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
import { type ApplyAnswer, Attempt, type AttemptPort, answerLater, toError } from './attempt.ts';
import { type Credentials, isExpiry } from './credentials.ts';
import type { ConnectionOptions, ConnectionPort } from './options.ts';
import { ServerError } from './server-error.ts';
import { type ConnectionEvent, type ConnectionState, hasSession, mayApply } from './states.ts';

/** So long a server has to answer. */
export const ANSWER_MS = 10_000;

export interface SessionPort {
  state(): ConnectionState;
  emit(event: ConnectionEvent, error?: Error): void;
  /** The server has let the client in. */
  welcomed(message: HandshakeAckMessage): void;
  /** Something went wrong that the connection outlives. */
  noted(error: Error): void;
}

export class Session implements AttemptPort {
  readonly attempt: Attempt;
  readonly #options: ConnectionOptions;
  readonly #environment: Environment;
  readonly #credentials: Credentials;
  readonly #replica: ConnectionPort;
  readonly #port: SessionPort;
  #token: string | undefined;
  #before: Promise<void> | undefined;
  #requests = 0;
  /** Of the batches under way, by request. */
  readonly #answers = new Map<string, (answer: ApplyAnswer) => unknown>();
  /** The request that is being answered with changes or a snapshot. */
  #reading: string | undefined;
  /** All up to a push has been received: it may move the position. */
  #isOrdered = false;
  /** A snapshot has been received, and nothing was asked for after it has been. */
  #hasFreshSnapshot = false;

  /** @param before what was worked on for the connection before: what is read now must not overtake it */
  constructor(
    options: ConnectionOptions,
    environment: Environment,
    credentials: Credentials,
    replica: ConnectionPort,
    port: SessionPort,
    before: Promise<void> | undefined,
  ) {
    this.#options = options;
    this.#environment = environment;
    this.#credentials = credentials;
    this.#replica = replica;
    this.#port = port;
    this.#before = before;
    const { pingMs = 25_000, answerMs = ANSWER_MS } = options;
    this.attempt = new Attempt(environment, this, { pingMs, answerMs });
    // Also for a token that never comes.
    this.attempt.after(answerMs, () => {
      if (hasSession(port.state())) return;
      const what = this.#before
        ? 'what came before could not be stored'
        : 'the server did not let the client in';
      this.lost(new Error(`${what} within ${answerMs} ms`));
    });
  }

  /** Resolves when the replica has taken what it was given, by this session or one before. */
  get idle(): Promise<void> | undefined {
    return this.attempt.idle ?? this.#before;
  }

  /** Asks for a token, opens a socket, and asks to be let in. */
  async open(): Promise<void> {
    const { url, transport } = this.#options;
    const environment = this.#environment;
    try {
      await this.#before;
      this.#before = undefined;
      if (this.attempt.isOver) return;
      this.#token = await this.#credentials.ask();
      if (this.attempt.isOver) return;
      this.attempt.use(transport?.(url, environment) ?? environment.openSocket(url));
    } catch (cause) {
      this.lost(toError(cause));
    }
  }

  opened(): void {
    const { siteId, databaseId } = this.#options;
    this.#emit('opened');
    const token = this.#token;
    this.attempt.send({ type: 'handshake', siteId, databaseId, token, protocolVersion: 1 });
  }

  lost(error: Error): void {
    // The same token would be refused again.
    this.#emit(this.#credentials.isFinal(error) ? 'fatal' : 'lost', error);
  }

  #nextRequest(): string {
    return `${++this.#requests}`;
  }

  apply(changes: readonly ChangeSet[], answered: (answer: ApplyAnswer) => unknown): void {
    const requestId = this.#nextRequest();
    this.#answers.set(requestId, answered);
    this.attempt.send({ type: 'apply_changes', changes: [...changes], requestId });
  }

  read(message: GetChangesMessage | GetSnapshotMessage | ResumeSnapshotMessage): void {
    this.#isOrdered = false;
    this.#reading = this.#nextRequest();
    this.attempt.send({ ...message, requestId: this.#reading });
  }

  /** What an attempt that is over leads to is not the business of the next one. */
  #emit(event: ConnectionEvent, error?: Error): void {
    if (!this.attempt.isOver) this.#port.emit(event, error);
  }

  isAsked(): boolean {
    return this.#reading !== undefined || this.#answers.size > 0;
  }

  ended(why: ServerError | undefined): void {
    for (const answered of this.#answers.values()) answerLater(answered, why);
  }

  async message(message: ServerMessage): Promise<void> {
    const state = this.#port.state();
    const isBootstrapping = state === 'bootstrapping';
    switch (message.type) {
      case 'handshake_ack':
        return this.#welcome(message);
      case 'changes':
        // The rest of an answer that a snapshot has taken the place of.
        if (isBootstrapping || (message.requestId ?? this.#reading) !== this.#reading) return;
        if (await this.#letsGo(() => this.#replica.receive(message.changeSets, true))) return;
        // A server that says nothing of more sends all of it in one message, but for very long answers.
        if (message.hasMore === true) return;
        this.#reading = undefined;
        this.#isOrdered = true;
        this.#hasFreshSnapshot = false;
        return this.#emit('caughtUp');
      case 'push_changes':
        // What comes amid a snapshot is asked for after it.
        if (isBootstrapping) return;
        if (mayApply(state) && !this.#isOrdered) {
          throw new Error('it may read again: what was missed is asked for');
        }
        await this.#letsGo(() => this.#replica.receive(message.changeSets, this.#isOrdered));
        return;
      case 'snapshot_chunk':
        return isBootstrapping ? this.#replica.receiveChunk(message.chunk) : undefined;
      case 'snapshot_complete':
        if (this.#replica.position() === undefined) throw new Error('the snapshot was not whole');
        this.#hasFreshSnapshot = true;
        return this.#emit('snapshotReceived');
      case 'apply_result': {
        const { type: _, requestId, ...result } = message;
        return this.#answer(requestId, result);
      }
      case 'authenticated':
        this.#credentials.taken(this.attempt, message.expiresAt);
        return this.#emit('renewed');
      case 'error':
        return this.#refused(message);
    }
  }

  #welcome(message: HandshakeAckMessage): void {
    const { serverTimeMs, expiresAt } = message;
    if (serverTimeMs !== undefined) this.#credentials.hear(serverTimeMs);
    this.#port.welcomed(message);
    this.#credentials.taken(this.attempt, expiresAt);
    this.#emit(this.#replica.position() === undefined ? 'snapshotNeeded' : 'welcomed');
  }

  /** Shows the server newer credentials. */
  renew(): Promise<void> {
    return this.#credentials.renew(this.attempt, this.#nextRequest());
  }

  async #answer(requestId = '', answer: ApplyAnswer): Promise<void> {
    const answered = this.#answers.get(requestId);
    this.#answers.delete(requestId);
    await this.#letsGo(() => answered?.(answer));
  }

  /** Whether what is done has the replica let go of its position, so that it takes a snapshot. */
  async #letsGo(take: () => unknown): Promise<boolean> {
    const hadPosition = this.#replica.position() !== undefined;
    await take();
    const isGone = hadPosition && this.#replica.position() === undefined;
    if (isGone) this.#emit('snapshotNeeded');
    return isGone;
  }

  async #refused(message: ErrorMessage): Promise<void> {
    const { requestId, code, fatal } = message;
    const { attempt } = this;
    const error = new ServerError(message);
    if (fatal) return this.#emit('fatal', error);
    if (this.#answers.has(requestId ?? '')) {
      attempt.note(error);
      await this.#answer(requestId, error);
      if (code !== 'SNAPSHOT_REQUIRED') return;
    }
    if (!hasSession(this.#port.state())) throw error;
    if (code === 'SNAPSHOT_REQUIRED') {
      await this.#replica.startOver();
      // Not at once again, where a snapshot is too old already when it has come.
      const isLate = this.#port.state() === 'bootstrapping' || this.#hasFreshSnapshot;
      return this.#emit(isLate ? 'lost' : 'snapshotNeeded', error);
    }
    if (requestId !== undefined && requestId === this.#credentials.renewal) {
      return this.#credentials.failed(attempt, requestId, error);
    }
    const isAnswer = requestId !== undefined && requestId === this.#reading;
    if (isAnswer && code === 'NOT_AUTHORIZED') {
      this.#reading = undefined;
      return this.#emit('denied', error);
    }
    if (isAnswer || isExpiry(error)) throw error;
    attempt.note(error);
    this.#port.noted(error);
  }
}
