/**
 * The protocol on one WebSocket, without the WebSocket: decides what a client may send when, and
 * what it is answered.
 *
 * Messages take effect in the order in which they were sent. They are taken one by one from the
 * inbox. A batch holds up the next message only until it has its place in the database's queue, not
 * until it is durable.
 */

import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { type SiteIdText, textToSiteId } from '../clock/site-id.ts';
import { internalCause, SyncError, toSyncError } from '../errors/sync-error.ts';
import { messageId, originOf } from '../hooks/call-origin.ts';
import type { AuthRequest } from '../hooks/chain/chain.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { WS_CLOSE } from '../protocol/close-codes.ts';
import { PROTOCOL_VERSION } from '../protocol/constants.ts';
import type { ClientMessage } from '../protocol/schemas.ts';
import type { ServerMessage } from '../protocol/server-messages.ts';
import { WS_OUTCOMES } from '../protocol/ws-outcomes.ts';
import type { Client } from '../service/access/clients.ts';
import type { Reader } from '../service/access/rights.ts';
import type { PendingHandshake } from '../service/admission/pending-handshakes.ts';
import type { BatchLine } from '../service/apply/batch-line.ts';
import { holderOf } from '../service/budgets/budget.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import type { DatabaseLease } from '../service/databases/database-pool.ts';
import { RefusedRequest, requestIdOf } from '../wire/decode.ts';
import { Arrivals } from './arrivals.ts';
import { ConnectionHost } from './connection-host.ts';
import { ConnectionStates } from './connection-state.ts';
import { Credentials, DEFAULT_DATABASE_ID } from './credentials.ts';
import type { InboxOwner, Incoming } from './inbox.ts';
import { describeSoftware, join } from './join.ts';
import type { MessageInflater } from './message-inflater.ts';
import { MessageIntake } from './message-intake.ts';
import { Requests } from './requests.ts';
import type { SendQueue } from './send-queue.ts';
import type { Session } from './session.ts';

type Handshake = Extract<ClientMessage, { type: 'handshake' }>;
type Authenticate = Extract<ClientMessage, { type: 'authenticate' }>;

export interface ClientConnectionOptions {
  service: CoordinatorService;
  sendQueue: SendQueue;
  /** For `onClientConnect` only. */
  socket: WebSocket;
  /** The TCP socket of `socket`, to count arriving bytes. */
  rawSocket?: Socket;
  headers: IncomingHttpHeaders;
  remoteAddress: string | undefined;
}

export class ClientConnection implements Client, InboxOwner {
  readonly #options: ClientConnectionOptions;
  readonly #id = randomUUID();
  readonly #states = new ConnectionStates();
  readonly #credentials: Credentials;
  readonly #reader: Required<Reader> = {
    who: () => this.identity,
    demandCurrent: () => this.#credentials.demandCurrent(),
  };
  readonly #line: BatchLine;
  readonly #requests: Requests;
  readonly #intake: MessageIntake;
  readonly #arrivals: Arrivals;
  /** How many messages have been taken. */
  #messages = 0;
  /** Aborted when the socket closes. Made at its first use. */
  #gone: AbortController | undefined;
  /** Runs until the handshake. */
  #handshakeTimer: NodeJS.Timeout | undefined;
  /** Counts among the pending handshakes until the handshake has been checked. */
  #pending: PendingHandshake | undefined;
  /** Why the server has ended it. */
  #ended: SyncError | undefined;
  #session: Session | undefined;
  #lease: DatabaseLease | undefined;

  constructor(options: ClientConnectionOptions) {
    this.#options = options;
    const { service, sendQueue, rawSocket, remoteAddress } = options;
    const { limits } = service.config;
    this.#credentials = new Credentials({
      service,
      toRequest: (siteId, databaseId, token) => this.#authRequest(siteId, databaseId, token),
      signal: () => this.#signal,
      refused: (reason) => this.end(reason),
      renewed: (identity) => {
        if (this.#session !== undefined) this.#session.identity = identity;
      },
      reconsider: () => this.reconsider(),
    });
    this.#line = service.newLine(this.#reader);
    this.#requests = new Requests({
      service,
      reader: this.#reader,
      line: this.#line,
      signal: () => this.#signal,
      sendQueue,
      send: (message) => this.#send(message),
      fail: (error, requestId) => this.#fail(error, requestId),
    });
    this.#intake = new MessageIntake({
      ...{ service, sendQueue, requests: this.#requests },
      holder: () => this.#holder,
    });
    this.#arrivals = new Arrivals({
      ...{ service, sendQueue, rawSocket, owner: this },
      holder: () => this.#holder,
      isJoined: () => this.#session !== undefined,
      refuse: (reason) => this.#refuseUnread(reason),
    });
    this.#handshakeTimer = setTimeout(() => this.#lateHandshake(), limits.handshakeTimeoutMs);
    const peer = {
      pause: () => sendQueue.pause(),
      refuse: (reason: SyncError) => this.#refuseUnread(reason),
    };
    this.#pending = service.pendingHandshakes.add(peer, rawSocket, remoteAddress);
  }

  #lateHandshake(): void {
    const { handshakeTimeoutMs } = this.#options.service.config.limits;
    const message = `no handshake within limits.handshakeTimeoutMs (${handshakeTimeoutMs})`;
    const limit = 'limits.handshakeTimeoutMs';
    this.#states.on('ended');
    this.#fail(new SyncError('HANDSHAKE_TIMEOUT', message, { limit }));
  }

  /** Refuses the client without reading anything else from it. */
  #refuseUnread(reason: SyncError): void {
    const { sendQueue } = this.#options;
    sendQueue.pause();
    this.#states.on('ended');
    this.#fail(reason);
    // After TOO_LARGE the client is still sending: if the socket were cut it would not read the
    // reason.
    if (reason.code === 'TOO_LARGE') sendQueue.close(WS_CLOSE.tooBig, reason.code);
    else sendQueue.closeNow(WS_CLOSE.tryAgain, reason.code);
  }

  /** For a socket whose client may send what is compressed. */
  get inflater(): MessageInflater {
    return this.#arrivals.inflater;
  }

  receive(message: Incoming): void {
    this.#arrivals.put(message);
  }

  /** A ping of the WebSocket protocol, which asks whether this side is there: at once, whatever it is doing. */
  pinged(payload: Uint8Array): void {
    this.#noteHeard();
    this.#options.sendQueue.pong(payload);
    this.#arrivals.pinged();
  }

  #noteHeard(): void {
    const { sharedSites } = this.#options.service.sessions;
    if (this.#session !== undefined) sharedSites.heard(this.#session);
  }

  /** The socket has closed. */
  closed(): void {
    this.#states.on('closed');
    this.#endTimer();
    this.#endPending();
    this.#gone?.abort();
    const { service } = this.#options;
    service.clients.delete(this);
    this.#arrivals.clear();
    if (this.#session !== undefined && this.#lease !== undefined) {
      service.removeSession(this.#session);
    }
    this.#lease?.release();
  }

  get #signal(): AbortSignal {
    if (this.#states.now === 'closed') return AbortSignal.abort();
    this.#gone ??= new AbortController();
    return this.#gone.signal;
  }

  #endTimer(): void {
    clearTimeout(this.#handshakeTimer);
    this.#handshakeTimer = undefined;
  }

  #endPending(): void {
    this.#pending?.end();
    this.#pending = undefined;
  }

  async take(message: Incoming): Promise<void> {
    this.#noteHeard();
    const bytes = message?.length ?? 0;
    let decoded: ClientMessage | undefined;
    const take = async () => {
      decoded = await this.#intake.decode(message);
      // Wait for a recheck of the credentials that is under way, or is queued among many.
      if (this.#session !== undefined && decoded.type !== 'ping') await this.#line.becomeCurrent();
      await this.#take(decoded);
    };
    try {
      await this.#intake.withRoom(bytes, take);
    } catch (error) {
      // The client has been told already.
      if (error === this.#ended) return;
      const isKnown = error instanceof RefusedRequest;
      this.#fail(toSyncError(error), isKnown ? error.requestId : requestIdOf(decoded));
    }
  }

  /** Whose share of memory its messages count in. */
  get #holder(): string {
    return holderOf(this.#credentials.identity ?? {}, this.#options.remoteAddress);
  }

  hasRoom(): Promise<void> | undefined {
    return this.#intake.hasRoom();
  }

  /** @returns settles when the next message may be taken */
  #take(message: ClientMessage): Promise<void> | undefined {
    const { service, sendQueue } = this.#options;
    const reception = this.#states.receptionOf(message.type);
    if (reception === 'ignore') return undefined;
    service.metrics.requests.websocket.inc(message.type);
    const requestId = messageId(this.#id, ++this.#messages);
    if (reception === 'ALREADY_AUTHENTICATED') {
      throw new SyncError(reception, 'a second handshake on one socket');
    }
    if (message.type === 'ping') {
      sendQueue.send('{"type":"pong"}');
      return undefined;
    }
    if (message.type === 'handshake') return this.#handshake(message, requestId);
    if (this.#session === undefined) {
      throw new SyncError('NOT_AUTHENTICATED', `${message.type} before the handshake`);
    }
    service.clients.refuseExpired(this.identity);
    if (message.type === 'authenticate') {
      return this.#authenticate(message, this.#session, requestId);
    }
    const origin = { ...originOf(this.identity), requestId };
    return this.#requests.take(message, this.#session, origin);
  }

  async #handshake(message: Handshake, requestId: string): Promise<void> {
    this.#states.on('handshake');
    this.#endTimer();
    this.#pending?.begin();
    const { service, sendQueue } = this.#options;
    const { siteId, token, databaseId = DEFAULT_DATABASE_ID } = message;
    try {
      service.checkDatabaseId(databaseId);
      const request = { ...this.#authRequest(siteId, databaseId, token), requestId };
      const identity = await this.#credentials.accept(request);
      // From now on it is ended when its credentials expire or are revoked.
      service.clients.add(this);
      await this.#join(message, identity);
    } catch (error) {
      this.#states.on('ended');
      if (error === this.#ended) return;
      const refusal = toSyncError(error);
      this.#fail(refusal);
      sendQueue.close(WS_OUTCOMES[refusal.code].handshakeClose, refusal.code);
    } finally {
      this.#endPending();
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
    return this.#credentials.who();
  }

  end(reason: SyncError): void {
    this.#states.on('ended');
    this.#ended ??= reason;
    this.#credentials.end(reason);
    this.#session?.end();
    this.#fail(reason);
    this.#options.sendQueue.close(WS_OUTCOMES[reason.code].handshakeClose, reason.code);
  }

  /** Renews the session's credentials. */
  async #authenticate(
    { token, requestId }: Authenticate,
    session: Session,
    ownRequestId: string,
  ): Promise<void> {
    const asked = this.#authRequest(session.siteId, session.database.id, token);
    const { expiresAt } = await this.#credentials.renew({ ...asked, requestId: ownRequestId });
    this.#send({ type: 'authenticated', requestId, expiresAt });
    // Pushes wait for this. Requests have the hooks asked in any case.
    void session.reconsider();
  }

  recheck(): Promise<void> {
    return this.#credentials.recheck();
  }

  async reconsider(): Promise<void> {
    await this.#session?.reconsider();
  }

  #join({ siteId, client }: Handshake, identity: ClientIdentity): Promise<void> {
    const { service, sendQueue, socket, remoteAddress } = this.#options;
    return join({
      ...{
        service,
        connectionId: this.#id,
        siteId,
        identity,
        software: client,
        reader: this.#reader,
      },
      ...{ socket, sendQueue, host: this.#newHost(), signal: this.#signal },
      holder: holderOf(identity, remoteAddress),
      admit: () => {
        if (sendQueue.isOpen && this.#states.on('admitted')) return;
        throw this.#ended ?? new SyncError('SHUTTING_DOWN', 'the socket has closed');
      },
      begin: (session, lease) => this.#begin(session, lease, identity),
    });
  }

  #begin(session: Session, lease: DatabaseLease, { expiresAt }: ClientIdentity): void {
    this.#session = session;
    this.#lease = lease;
    // Its listeners are gone. The session gets a new one when it needs it.
    this.#gone = undefined;
    this.#credentials.use();
    const { connectionId, siteId, software, database } = session;
    const { logger } = this.#options.service;
    const said = describeSoftware(software);
    logger('%s: site %s joins database %s%s', connectionId, siteId, database.id, said);
    this.#send({
      type: 'handshake_ack',
      serverSiteId: database.manager.identity.siteIdText,
      connectionId,
      databaseId: database.id,
      protocolVersion: PROTOCOL_VERSION,
      serverTimeMs: database.manager.nowMs,
      expiresAt,
    });
  }

  #newHost(): ConnectionHost {
    const { service, sendQueue } = this.#options;
    return new ConnectionHost({
      ...{ service, sendQueue, reader: this.#reader },
      session: () => this.#session,
      inFlight: this.#requests.inFlight,
      holder: () => this.#holder,
      signal: () => this.#signal,
      fail: (error) => this.#fail(error),
    });
  }

  #send(message: ServerMessage): void {
    this.#options.sendQueue.send(JSON.stringify(message));
  }

  /** Tells the client what went wrong, and logs the cause. */
  #fail(error: SyncError, requestId?: string): void {
    const { service, sendQueue } = this.#options;
    const { code, message, retryAfterMs, serverTimeMs } = error;
    const { fatal, close } = WS_OUTCOMES[code];
    service.metrics.errorSent(error);
    const cause = internalCause(error);
    if (cause !== undefined) service.faults.addError(code, this.#options.remoteAddress, cause);
    this.#send({ type: 'error', code, message, fatal, requestId, retryAfterMs, serverTimeMs });
    if (close !== undefined) sendQueue.close(close, code);
  }
}
