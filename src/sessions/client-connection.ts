/**
 * The protocol on one WebSocket, without the WebSocket: what a client may say when, and
 * what it is answered.
 *
 * Messages take effect in the order in which they were sent. They are taken one by one from
 * the inbox; an apply holds up the next message only until it has its place in the
 * database's queue, not until it is on the disk.
 */

import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { type SiteIdText, siteIdToText, textToSiteId } from '../clock/site-id.ts';
import { internalCause, SyncError, toSyncError } from '../errors/sync-error.ts';
import { messageId, originOf } from '../hooks/call-origin.ts';
import type { AuthRequest } from '../hooks/chain.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity } from '../hooks/types.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import { type ClientMessage, PROTOCOL_VERSION } from '../protocol/schemas.ts';
import type { ServerMessage } from '../protocol/server-messages.ts';
import { encodeApplyResult } from '../protocol/types.ts';
import { WS_CLOSE, WS_OUTCOMES } from '../protocol/ws-outcomes.ts';
import type { Applied } from '../service/apply-pipeline.ts';
import type { BatchLine } from '../service/batch-line.ts';
import { holderOf } from '../service/budget.ts';
import type { Reservation } from '../service/byte-budget.ts';
import type { Client } from '../service/clients.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import type { DatabaseLease } from '../service/database-pool.ts';
import { InFlight } from '../service/in-flight.ts';
import { refuseOwnSite } from '../service/open-database.ts';
import type { PageReads } from '../service/page-reads.ts';
import type { PendingHandshake } from '../service/pending-handshakes.ts';
import type { PushFilter, ReadFilter } from '../service/read-filter.ts';
import { isDenial, type Reader, type ReadRight, toGetChanges } from '../service/rights.ts';
import { decodeClientMessage, RefusedRequest, requestIdOf } from '../wire/decode.ts';
import { isLongText } from '../wire/long-json.ts';
import { runAtOnce, runInSteps } from '../wire/steps.ts';
import { ArrivedBytes } from './arrived-bytes.ts';
import { Inbox, type InboxOwner, type Incoming } from './inbox.ts';
import type { SendQueue } from './send-queue.ts';
import { Session, type SessionHost } from './session.ts';

const DEFAULT_DATABASE_ID = 'default';
/** What is smaller is bounded by how many may be in flight. */
const SMALL_MESSAGE_BYTES = 1024;

type Handshake = Extract<ClientMessage, { type: 'handshake' }>;
type Authenticate = Extract<ClientMessage, { type: 'authenticate' }>;
type Apply = Extract<ClientMessage, { type: 'apply_changes' }>;
type Request = Exclude<ClientMessage, Handshake | Authenticate | { type: 'ping' }>;

/** What an error of a request is called where its cause has no code of its own. */
const FALLBACK_CODES: Record<Request['type'], [ErrorCode, string]> = {
  get_changes: ['GET_CHANGES_ERROR', 'the changes could not be read'],
  apply_changes: ['APPLY_CHANGES_ERROR', 'the changes could not be stored'],
  get_snapshot: ['SNAPSHOT_ERROR', 'the snapshot could not be read'],
  resume_snapshot: ['SNAPSHOT_ERROR', 'the snapshot could not be read'],
};

export interface ClientConnectionOptions {
  service: CoordinatorService;
  sendQueue: SendQueue;
  /** For `onClientConnect` only. */
  socket: WebSocket;
  /** What the bytes of `socket` arrive on, to count them. */
  rawSocket?: Socket;
  headers: IncomingHttpHeaders;
  remoteAddress: string | undefined;
}

export class ClientConnection implements Client, InboxOwner, SessionHost {
  readonly #options: ClientConnectionOptions;
  readonly #id = randomUUID();
  /** That it was sent so far. */
  #messages = 0;
  /** For whoever must hear that it has gone; made for the first of them. */
  #gone: AbortController | undefined;
  /** Until the handshake. */
  #handshakeTimer: NodeJS.Timeout | undefined;
  readonly #reader: Required<Reader> = {
    who: () => this.identity,
    demandCurrent: () => this.#demandCurrent(),
  };
  /** Among those that nobody knows; until it is known. */
  #pending: PendingHandshake | undefined;
  readonly #inbox: Inbox;
  /** Who it was when it was authenticated. */
  #joined: ClientIdentity | undefined;
  /** The newest that was accepted. */
  #token: string | undefined;
  /** Settles when its credentials have been looked at again. */
  #rechecked: Promise<void> | undefined;
  /** Why it was ended from this side. */
  #ended: SyncError | undefined;
  #session: Session | undefined;
  #isGone = false;
  #lease: DatabaseLease | undefined;
  readonly #inFlight = new InFlight();
  readonly #line: BatchLine;
  /** Settles when the last batch has been answered. */
  #lastApply: Promise<void> | undefined;

  constructor(options: ClientConnectionOptions) {
    this.#options = options;
    this.#line = options.service.newLine(this.#reader);
    const { limits } = options.service.config;
    const { handshakeTimeoutMs } = limits;
    const arrived = new ArrivedBytes({
      budget: options.service.memory.arrived,
      client: () => this.#holder,
      timeoutMs: limits.requestTimeoutMs,
      pause: () => options.sendQueue.pause(),
      resume: () => this.#inbox.resume(),
      refuse: (reason) => this.#refuseUnread(reason),
    });
    // Before `ws`, which is then told what they complete.
    options.rawSocket?.prependListener('data', (bytes) => arrived.read(bytes));
    this.#inbox = new Inbox({
      limits,
      arrived,
      source: options.sendQueue,
      owner: this,
      onLimit: options.service.metrics.limitMet,
    });
    this.#handshakeTimer = setTimeout(() => {
      const message = `no handshake within limits.handshakeTimeoutMs (${handshakeTimeoutMs})`;
      const limit = 'limits.handshakeTimeoutMs';
      this.#fail(new SyncError('HANDSHAKE_TIMEOUT', message, { limit }));
    }, handshakeTimeoutMs);
    const { service, sendQueue, rawSocket, remoteAddress } = options;
    const peer = {
      pause: () => sendQueue.pause(),
      refuse: (reason: SyncError) => this.#refuseUnread(reason),
    };
    this.#pending = service.pendingHandshakes.add(peer, rawSocket, remoteAddress);
  }

  /** What else it sends is not even read. */
  #refuseUnread(reason: SyncError): void {
    const { sendQueue } = this.#options;
    sendQueue.pause();
    this.#fail(reason);
    // Who has sent too much still has it on its way: cut at once, it would not read why.
    if (reason.code === 'TOO_LARGE') sendQueue.close(WS_CLOSE.tooBig, reason.code);
    else sendQueue.closeNow(WS_CLOSE.tryAgain, reason.code);
  }

  receive(message: Incoming): void {
    this.#inbox.put(message);
  }

  /** The socket has closed. */
  closed(): void {
    this.#endTimer();
    this.#endStay();
    this.#gone?.abort();
    this.#isGone = true;
    const { service } = this.#options;
    service.clients.delete(this);
    this.#inbox.clear();
    if (this.#session !== undefined && this.#lease !== undefined) {
      service.removeSession(this.#session, this.#lease);
    }
    this.#lease?.release();
  }

  get #signal(): AbortSignal {
    if (this.#isGone) return AbortSignal.abort();
    this.#gone ??= new AbortController();
    return this.#gone.signal;
  }

  #endTimer(): void {
    clearTimeout(this.#handshakeTimer);
    this.#handshakeTimer = undefined;
  }

  #endStay(): void {
    this.#pending?.end();
    this.#pending = undefined;
  }

  async take(message: Incoming): Promise<void> {
    if (typeof message === 'object' && 'ping' in message) {
      this.#options.sendQueue.pong(message.ping);
      return;
    }
    const bytes = message?.length ?? 0;
    let decoded: ClientMessage | undefined;
    const take = async () => {
      decoded = await this.#decode(message);
      // Whether it is being looked at, or still waits for that since many are.
      if (this.#session !== undefined && decoded.type !== 'ping') await this.#line.becomeCurrent();
      // While it was decoded the client may have gone.
      if (!this.#isGone) await this.#take(decoded);
    };
    try {
      if (bytes < SMALL_MESSAGE_BYTES) await take();
      else await this.#takeLarge(bytes, take);
    } catch (error) {
      // It has been told already.
      if (error === this.#ended) return;
      const isKnown = error instanceof RefusedRequest;
      this.#fail(toSyncError(error), isKnown ? error.requestId : requestIdOf(decoded));
    }
  }

  #decode(text: string | Buffer | undefined): ClientMessage | Promise<ClientMessage> {
    if (text === undefined) {
      throw new SyncError('MESSAGE_ERROR', 'binary messages are not part of the protocol');
    }
    const { service } = this.#options;
    const steps = decodeClientMessage(text, service.config.limits);
    return isLongText(text) ? runInSteps(steps, service.turn) : runAtOnce(steps);
  }

  /** When there is room for what it becomes, which is given back when it has been answered. */
  async #takeLarge(bytes: number, take: () => Promise<void>): Promise<void> {
    const { memory } = this.#options.service;
    await new Promise<void>((resolve, reject) => {
      const work = async () => {
        const before = this.#lastApply;
        await take();
        resolve();
        if (this.#lastApply !== before) await this.#lastApply;
      };
      memory.work(this.#holder, bytes, work).catch(reject);
    });
  }

  /** Whose share of the memory its messages are held in. */
  get #holder(): string {
    const identity = this.#session?.identity ?? this.#joined;
    return holderOf(identity ?? {}, this.#options.remoteAddress);
  }

  /** Answers that the peer doesn't take must not pile up, nor what it has asked for. */
  hasRoom(): Promise<void> | undefined {
    const { sendQueue, service } = this.#options;
    const { queuedBytesPerSocket, messagesInFlight } = service.config.limits;
    const isFull = this.#inFlight.size >= messagesInFlight;
    if (!isFull && sendQueue.queuedBytes <= queuedBytesPerSocket) return undefined;
    return this.#makeRoom();
  }

  async #makeRoom(): Promise<void> {
    const { sendQueue, service } = this.#options;
    const { queuedBytesPerSocket, messagesInFlight } = service.config.limits;
    if (sendQueue.queuedBytes > queuedBytesPerSocket) {
      service.metrics.limitMet('limits.queuedBytesPerSocket');
      await sendQueue.drained(queuedBytesPerSocket / 2);
    }
    if (this.#inFlight.size < messagesInFlight) return;
    service.metrics.limitMet('limits.messagesInFlight');
    await this.#inFlight.below(messagesInFlight);
  }

  /** What it returns settles when the next message may be taken. */
  #take(message: ClientMessage): Promise<void> | undefined {
    const { service, sendQueue } = this.#options;
    service.metrics.requests.websocket.inc(message.type);
    const requestId = messageId(this.#id, ++this.#messages);
    if (message.type === 'ping') {
      sendQueue.send('{"type":"pong"}');
      return undefined;
    }
    if (message.type === 'handshake') return this.#handshake(message, requestId);
    if (this.#session === undefined) {
      throw new SyncError('NOT_AUTHENTICATED', `${message.type} before the handshake`);
    }
    service.clients.refuseExpired(this.#session.identity);
    if (message.type === 'authenticate') {
      return this.#authenticate(message, this.#session, requestId);
    }
    const origin = { ...originOf(this.#session.identity), requestId };
    if (message.type === 'apply_changes') return this.#apply(message, this.#session, origin);
    void this.#read(message, this.#session, origin);
    return undefined;
  }

  async #handshake(message: Handshake, requestId: string): Promise<void> {
    if (this.#session !== undefined) {
      throw new SyncError('ALREADY_AUTHENTICATED', 'a second handshake on one socket');
    }
    this.#endTimer();
    this.#pending?.begin();
    const { service, sendQueue } = this.#options;
    const { siteId, token, databaseId = DEFAULT_DATABASE_ID } = message;
    try {
      service.checkDatabaseId(databaseId);
      const request = { ...this.#authRequest(siteId, databaseId, token), requestId };
      const identity = await service.authenticate(request, this.#signal);
      this.#joined = identity;
      this.#token = token;
      // From now on it can be ended by whoever doubts its credentials.
      service.clients.add(this);
      await this.#join(siteId, identity);
    } catch (error) {
      const refusal = toSyncError(error);
      this.#fail(refusal);
      sendQueue.close(WS_OUTCOMES[refusal.code].handshakeClose, refusal.code);
    } finally {
      this.#endStay();
    }
  }

  #authRequest(siteId: SiteIdText, databaseId: string, token: string | undefined): AuthRequest {
    const { headers, remoteAddress } = this.#options;
    return {
      token,
      siteId: textToSiteId(siteId),
      databaseId,
      transport: 'websocket',
      headers,
      remoteAddress,
      connectionId: this.#id,
    };
  }

  get identity(): ClientIdentity {
    const identity = this.#session?.identity ?? this.#joined;
    if (identity === undefined) throw new TypeError('it is not known yet who this is');
    return identity;
  }

  end(reason: SyncError): void {
    this.#ended ??= reason;
    this.#session?.end();
    this.#fail(reason);
    this.#options.sendQueue.close(WS_OUTCOMES[reason.code].handshakeClose, reason.code);
  }

  /** Newer credentials for the session. If they are refused it ends; if nobody can tell it goes on. */
  async #authenticate(
    { token, requestId }: Authenticate,
    session: Session,
    ownRequestId: string,
  ): Promise<void> {
    const asked = this.#authRequest(session.siteId, session.database.id, token);
    const request = { ...asked, requestId: ownRequestId };
    const { service } = this.#options;
    session.identity = await service.renew(session.identity, request, this.#signal);
    this.#token = token;
    // The hooks may have been replaced just then, and have been asked about the token before.
    if (!service.isCurrent(session.identity)) await this.recheck();
    this.#send({ type: 'authenticated', requestId, expiresAt: session.identity.expiresAt });
    // Nothing is pushed to it before that is known; what it asks for is asked about anyway.
    void session.reconsider();
  }

  /** Whether its credentials are still good; what it sends, and is to be sent, waits for the answer. */
  recheck(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return Promise.resolve();
    this.#rechecked ??= this.#recheck(session);
    return this.#rechecked;
  }

  async #recheck(session: Session): Promise<void> {
    try {
      session.identity = await this.#askAgain(session.identity);
    } catch (error) {
      this.end(toSyncError(error));
    }
    this.#rechecked = undefined;
    await session.reconsider();
  }

  #askAgain(known: ClientIdentity): Promise<ClientIdentity> {
    const { databaseId = DEFAULT_DATABASE_ID } = known;
    const request = this.#authRequest(siteIdToText(known.siteId), databaseId, this.#token);
    return this.#options.service.recheck(known, request, this.#signal);
  }

  /** The present hook modules have said who it is from then on. See `Reader`. */
  async #demandCurrent(): Promise<void> {
    const { service } = this.#options;
    while (!service.isCurrent(this.identity)) {
      if (this.#ended !== undefined) throw this.#ended;
      if (this.#session === undefined) this.#joined = await this.#askAgain(this.identity);
      else await this.recheck();
    }
  }

  async reconsider(): Promise<void> {
    await this.#session?.reconsider();
  }

  /** Makes an authenticated client a session, if the hooks let it stay. */
  async #join(siteId: SiteIdText, identity: ClientIdentity): Promise<void> {
    const { service, sendQueue, socket, remoteAddress } = this.#options;
    const { databaseId = DEFAULT_DATABASE_ID } = identity;
    // Before anything is opened, and before hooks are told that it is there.
    const right = await service.enter(this.#reader, databaseId, this.#signal);
    try {
      await service.hooks.clientConnect(identity, socket, this.#signal);
      // Nobody listens any more; what the session does makes another when it needs one.
      if (!this.#isGone) this.#gone = undefined;
      const lease = await service.acquire(databaseId, holderOf(identity, remoteAddress));
      this.#lease = lease;
      if (!sendQueue.isOpen) throw new SyncError('SHUTTING_DOWN', 'the socket has closed');
      refuseOwnSite(identity, lease);
      // The hooks may have been replaced since they let it in.
      await this.#demandCurrent();
      const session = this.#createSession(siteId, identity, lease, right);
      session.identity = this.identity;
      service.addSession(session, lease);
      this.#session = session;
    } catch (error) {
      // Whoever was asked whether it may stay is told that it has gone, whatever the answer was.
      this.#lease?.release();
      service.hooks.clientDisconnect(identity);
      throw error;
    }
    const { connectionId, database } = this.#session;
    service.logger('%s: site %s joins database %s', connectionId, siteId, databaseId);
    this.#send({
      type: 'handshake_ack',
      serverSiteId: database.manager.identity.siteIdText,
      connectionId,
      databaseId,
      protocolVersion: PROTOCOL_VERSION,
      expiresAt: identity.expiresAt,
    });
  }

  #createSession(
    siteId: SiteIdText,
    identity: ClientIdentity,
    database: DatabaseLease,
    right: ReadRight,
  ): Session {
    const { service, sendQueue } = this.#options;
    return new Session({
      connectionId: this.#id,
      siteId,
      identity,
      database,
      sendQueue,
      pages: database.sessions.pages,
      limits: service.config.limits,
      host: this,
      right,
    });
  }

  readFilterOf(origin?: CallOrigin): ReadFilter | undefined {
    const { service } = this.#options;
    // Without a hook that has a say there is nothing to give up.
    if (!service.hooks.has.onBeforeSendChanges) return undefined;
    return service.readFilterOf(this.#reader, this.#signal, origin);
  }

  pushFilterOf(identity: ClientIdentity): PushFilter | undefined {
    const { service } = this.#options;
    const { hooks } = service;
    if (!hooks.has.onBeforeSendChanges) return undefined;
    const key = hooks.viewKey(identity);
    // Who sees the same waits for the same answer: it is not to end with one of them.
    const filter =
      key === undefined
        ? service.readFilterOf(this.#reader, this.#signal)
        : service.readFilterOf({ who: () => identity });
    // What other modules made of a page is nobody's any more.
    const shared = key === undefined ? undefined : `${service.hookGeneration} ${key}`;
    return filter && { filter, key: shared };
  }

  readDenied(error: SyncError, answers: HookAnswer[]): void {
    const session = this.#session;
    // It is told once, not as often as it is asked about.
    if (session === undefined || !session.right.isLost) return;
    this.#fail(error);
    const { service, sendQueue } = this.#options;
    service
      .readLost(session.identity, session.database.id, answers, this.#signal)
      // Who may do nothing any more has nothing to stay for.
      .catch((why: unknown) => isDenial(why) && sendQueue.close(WS_CLOSE.policy, error.code));
  }

  reserve(bytes: number, isShared = false): Promise<Reservation> {
    return this.#options.service.memory.answers.reserve(this.#payer(isShared), bytes);
  }

  tryReserve(bytes: number, isShared: boolean): Reservation | undefined {
    return this.#options.service.memory.answers.tryReserve(this.#payer(isShared), bytes);
  }

  #payer(isShared: boolean): string {
    return isShared ? `all of ${this.#lease?.id}` : this.#holder;
  }

  get reads(): PageReads {
    return this.#options.service.memory.pageReads;
  }

  hasMemory(bytes: number): boolean {
    return this.#options.service.memory.answers.hasRoom(this.#holder, bytes);
  }

  pushed(changeSets: number): void {
    this.#options.service.metrics.changesPushed.inc(changeSets);
  }

  fellBehind(): void {
    this.#options.service.metrics.limitMet('limits.queuedBytesPerSocket');
  }

  failed(error: unknown): void {
    this.#fail(toSyncError(error, 'GET_CHANGES_ERROR', 'a push could not be read'));
    this.#options.sendQueue.close(WS_CLOSE.tryAgain, 'try again');
  }

  /** Answers a question while further messages are taken; after the applies that were sent before it. */
  async #read(
    message: Exclude<Request, Apply>,
    session: Session,
    origin: CallOrigin,
  ): Promise<void> {
    const before = this.#lastApply;
    const answer = async () => {
      await before;
      await this.#answer(message, session, origin);
    };
    await this.#serve(message, () => session.answer(answer, origin));
  }

  async #answer(
    message: Exclude<Request, Apply>,
    session: Session,
    origin: CallOrigin,
  ): Promise<void> {
    const { service } = this.#options;
    const { database, identity } = session;
    if (message.type === 'get_changes') {
      const sinceHLC = message.sinceHLC ?? undefined;
      await session.right.ask(toGetChanges(database.id, sinceHLC), this.#signal, origin);
      const stopTimer = service.querySeconds.startTimer();
      session.lastSyncHLC = sinceHLC;
      await session.sendChanges(await service.cursorFor(identity, database, sinceHLC));
      stopTimer();
      return;
    }
    const checkpoint = message.type === 'resume_snapshot' ? message.checkpoint : undefined;
    const { sendQueue } = this.#options;
    await session.sendSnapshot((admit) =>
      service.handleSnapshot(identity, database, checkpoint, {
        ...this.#reader,
        signal: this.#signal,
        origin,
        queuedBytes: () => sendQueue.queuedBytes,
        admit,
      }),
    );
  }

  /** @returns settles once the batch has its place in the queue */
  #apply(message: Apply, session: Session, origin: CallOrigin): Promise<void> {
    const { service } = this.#options;
    const { changes } = message;
    const { accepted, applied } = service.applyChanges(
      session.identity,
      session.database,
      changes,
      { line: this.#line, signal: this.#signal, origin },
    );
    const before = this.#lastApply;
    this.#lastApply = this.#serve(message, async () => {
      let outcome: Applied;
      try {
        outcome = await applied;
      } finally {
        // One may take longer to be answered than another of its group: they stay in their order.
        await before;
      }
      this.#tellApplied(outcome, message, session);
    });
    return accepted;
  }

  #tellApplied(outcome: Applied, { requestId }: Apply, session: Session): void {
    const { result, drainAfter, isFull } = outcome;
    const { applied, skipped, conflicts, transactions, rejected } = encodeApplyResult(result);
    const type = 'apply_result';
    this.#send({ type, requestId, applied, skipped, conflicts, transactions, rejected });
    if (isFull) this.#options.service.endFull(session.database.id, session.siteId);
    if (isFull || drainAfter === undefined) return;
    const siteId = session.database.manager.identity.siteIdText;
    this.#send({ type: 'request_changes', siteId, sinceHLC: drainAfter });
  }

  /** Work that goes on while further messages are taken; its failure is told to the client. */
  #serve(message: Request, work: () => Promise<void>): Promise<void> {
    return this.#inFlight.run(work).catch((error: unknown) => {
      const [code, text] = FALLBACK_CODES[message.type];
      this.#fail(toSyncError(error, code, text), message.requestId);
    });
  }

  #send(message: ServerMessage): void {
    this.#options.sendQueue.send(JSON.stringify(message));
  }

  /** Tells the client what went wrong, and the log what caused it. */
  #fail(error: SyncError, requestId?: string): void {
    const { service } = this.#options;
    const { code, message, retryAfterMs } = error;
    const { fatal, close } = WS_OUTCOMES[code];
    service.metrics.errorSent(error);
    const cause = internalCause(error);
    if (cause !== undefined) service.faults.addError(code, this.#options.remoteAddress, cause);
    this.#send({ type: 'error', code, message, fatal, requestId, retryAfterMs });
    if (close !== undefined) this.#options.sendQueue.close(close, code);
  }
}
