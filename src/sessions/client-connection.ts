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
import { ClientGone } from '../errors/client-gone.ts';
import { SyncError, toSyncError } from '../errors/sync-error.ts';
import { messageId, originOf } from '../hooks/call-origin.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { WS_CLOSE } from '../protocol/close-codes.ts';
import type { ClientMessage } from '../protocol/schemas.ts';
import type { Client } from '../service/access/clients.ts';
import type { Reader } from '../service/access/rights.ts';
import { BatchLine } from '../service/apply/batch-line.ts';
import { holderOf } from '../service/budgets/budget.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import type { DatabaseLease } from '../service/databases/database-lease.ts';
import { RefusedRequest, requestIdOf } from '../wire/decode.ts';
import { Arrivals } from './arrivals.ts';
import type { Connection } from './connection.ts';
import { ConnectionHost } from './connection-host.ts';
import { ConnectionStates } from './connection-state.ts';
import { Credentials } from './credentials.ts';
import { HandshakeWait } from './handshake-wait.ts';
import type { InboxOwner, Incoming } from './inbox.ts';
import { join, toHandshakeAck } from './join.ts';
import type { MessageInflater } from './message-inflater.ts';
import { MessageIntake } from './message-intake.ts';
import { Replies } from './replies.ts';
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

export class ClientConnection implements Client, Connection, InboxOwner {
  readonly #options: ClientConnectionOptions;
  readonly connectionId = randomUUID();
  readonly #states = new ConnectionStates();
  readonly replies: Replies;
  readonly #credentials: Credentials;
  readonly #line: BatchLine;
  readonly #requests: Requests;
  readonly #intake: MessageIntake;
  readonly #arrivals: Arrivals;
  /** How many messages have been taken. */
  #messages = 0;
  /** Aborted when the socket closes. Made at its first use. */
  #gone: AbortController | undefined;
  /** Until the handshake has been checked. */
  #wait: HandshakeWait | undefined;
  /** Why the server has ended it. */
  #ended: SyncError | undefined;
  #session: Session | undefined;
  #lease: DatabaseLease | undefined;

  constructor(options: ClientConnectionOptions) {
    this.#options = options;
    const { service, sendQueue, rawSocket, remoteAddress } = options;
    this.replies = new Replies(service, sendQueue, remoteAddress);
    this.#credentials = new Credentials(this);
    this.#line = new BatchLine(this.#credentials, service.clients);
    this.#requests = new Requests(this, this.#line);
    this.#intake = new MessageIntake(this, this.#requests);
    this.#arrivals = new Arrivals(this, this, rawSocket);
    this.#wait = new HandshakeWait({
      service,
      rawSocket,
      remoteAddress,
      pause: () => sendQueue.pause(),
      refuse: (reason) => this.refuseUnread(reason),
      late: (reason) => {
        this.#states.on('ended');
        this.replies.fail(reason);
      },
    });
  }

  get service(): CoordinatorService {
    return this.#options.service;
  }

  get headers(): IncomingHttpHeaders {
    return this.#options.headers;
  }

  get remoteAddress(): string | undefined {
    return this.#options.remoteAddress;
  }

  get sendQueue(): SendQueue {
    return this.#options.sendQueue;
  }

  get reader(): Required<Reader> {
    return this.#credentials;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  get holder(): string {
    return holderOf(this.#credentials.identity ?? {}, this.#options.remoteAddress);
  }

  /** For a socket whose client may send what is compressed. */
  get inflater(): MessageInflater {
    return this.#arrivals.inflater;
  }

  refuseUnread(reason: SyncError): void {
    const { sendQueue } = this.#options;
    sendQueue.pause();
    this.#states.on('ended');
    this.replies.fail(reason);
    // After TOO_LARGE the client is still sending: if the socket were cut it would not read the
    // reason.
    if (reason.code === 'TOO_LARGE') sendQueue.close(WS_CLOSE.tooBig, reason.code);
    else sendQueue.closeNow(WS_CLOSE.tryAgain, reason.code);
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
    this.#wait?.end();
    this.#gone?.abort(new ClientGone());
    const { service } = this.#options;
    service.clients.delete(this);
    this.#arrivals.clear();
    if (this.#session !== undefined && this.#lease !== undefined) {
      service.removeSession(this.#session);
    }
    this.#lease?.release();
  }

  get signal(): AbortSignal {
    if (this.#states.now === 'closed') return AbortSignal.abort(new ClientGone());
    this.#gone ??= new AbortController();
    return this.#gone.signal;
  }

  async take(message: Incoming): Promise<void> {
    this.#noteHeard();
    const bytes = message?.length ?? 0;
    // Until it is decoded: what is answered later would keep the text for as long.
    let text = message;
    let decoded: ClientMessage | undefined;
    const take = async () => {
      const decoding = this.#intake.decode(text);
      text = undefined;
      decoded = decoding instanceof Promise ? await decoding : decoding;
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
      this.replies.fail(toSyncError(error), isKnown ? error.requestId : requestIdOf(decoded));
    }
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
    const requestId = messageId(this.connectionId, ++this.#messages);
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
    const { identity } = this;
    service.clients.refuseExpired(identity);
    if (message.type === 'authenticate') {
      return this.#authenticate(message, this.#session, requestId);
    }
    const origin = Object.assign({}, originOf(identity), { requestId });
    return this.#requests.take(message, this.#session, origin);
  }

  async #handshake(message: Handshake, requestId: string): Promise<void> {
    this.#states.on('handshake');
    this.#wait?.begin();
    const { service } = this.#options;
    try {
      const identity = await this.#credentials.accept(message, requestId);
      // From now on it is ended when its credentials expire or are revoked.
      service.clients.add(this);
      await this.#join(message, identity);
    } catch (error) {
      this.#states.on('ended');
      if (error === this.#ended) return;
      this.replies.end(toSyncError(error));
    } finally {
      this.#wait?.end();
      this.#wait = undefined;
    }
  }

  get identity(): ClientIdentity {
    return this.#credentials.who();
  }

  end(reason: SyncError): void {
    this.#states.on('ended');
    this.#ended ??= reason;
    this.#credentials.end(reason);
    this.#session?.end();
    this.replies.end(reason);
  }

  /** Renews the session's credentials. */
  async #authenticate(
    { token, requestId }: Authenticate,
    session: Session,
    ownRequestId: string,
  ): Promise<void> {
    const { expiresAt } = await this.#credentials.renew(token, ownRequestId);
    this.replies.send({ type: 'authenticated', requestId, expiresAt });
    // Pushes wait for this. Requests have the hooks asked in any case.
    void session.reconsider();
  }

  renewed(identity: ClientIdentity): void {
    if (this.#session !== undefined) this.#session.identity = identity;
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
      service,
      connectionId: this.connectionId,
      siteId,
      identity,
      software: client,
      reader: this.reader,
      socket,
      sendQueue,
      host: new ConnectionHost(this, this.#requests.inFlight),
      signal: this.signal,
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
    this.replies.send(toHandshakeAck(session, expiresAt));
  }
}
