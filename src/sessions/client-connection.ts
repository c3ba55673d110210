/**
 * The protocol on one WebSocket, without the WebSocket: decides what a client may send when, and
 * what it is answered.
 *
 * Messages take effect in the order in which they were sent. They are taken one by one from the
 * inbox. A batch holds up the next message only until it has its place in the database's queue, not
 * until it is durable.
 */

import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { ClientGone } from '../errors/client-gone.ts';
import { SyncError, toSyncError } from '../errors/sync-error.ts';
import { messageId, originOf } from '../hooks/call-origin.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import type { ClientMessage } from '../protocol/schemas.ts';
import { Arrivals } from './arrivals.ts';
import type { Connection } from './connection.ts';
import { ConnectionStates } from './connection-state.ts';
import { Credentials } from './credentials.ts';
import { HandshakeWait } from './handshake-wait.ts';
import type { Incoming } from './inbox.ts';
import { type Handshake, join, leave, type Membership } from './join.ts';
import { MessageIntake } from './message-intake.ts';
import { Replies } from './replies.ts';
import { Requests } from './requests.ts';

type Authenticate = Extract<ClientMessage, { type: 'authenticate' }>;

export interface ClientConnectionOptions
  extends Pick<Connection, 'service' | 'sendQueue' | 'headers' | 'remoteAddress'> {
  /** For `onClientConnect` only. */
  socket: WebSocket;
  /** The TCP socket of `socket`, to count arriving bytes. */
  rawSocket?: Socket;
}

export class ClientConnection implements Connection {
  readonly #options: ClientConnectionOptions;
  readonly connectionId = randomUUID();
  readonly #states = new ConnectionStates();
  readonly replies: Replies;
  readonly #credentials: Credentials;
  readonly #requests: Requests;
  readonly #arrivals: Arrivals;
  /** How many messages have been taken. */
  #messages = 0;
  /** Aborted when the socket closes. Made at its first use. */
  #gone: AbortController | undefined;
  /** Until the handshake has been checked. */
  #wait: HandshakeWait | undefined;
  #ended: SyncError | undefined;
  #membership: Membership | undefined;

  constructor(options: ClientConnectionOptions) {
    this.#options = options;
    const { service, sendQueue, rawSocket, remoteAddress } = options;
    this.replies = new Replies(service, sendQueue, remoteAddress);
    this.#credentials = new Credentials(this);
    this.#requests = new Requests(this);
    this.#arrivals = new Arrivals(this, new MessageIntake(this, this.#requests), rawSocket);
    this.#wait = new HandshakeWait(this, rawSocket, (reason) => {
      this.#states.on('ended');
      this.replies.fail(reason);
    });
  }

  get service() {
    return this.#options.service;
  }

  get headers() {
    return this.#options.headers;
  }

  get remoteAddress() {
    return this.#options.remoteAddress;
  }

  get sendQueue() {
    return this.#options.sendQueue;
  }

  get reader() {
    return this.#credentials;
  }

  get session() {
    return this.#membership?.session;
  }

  get ended() {
    return this.#ended;
  }

  get holder(): string {
    return this.#credentials.holder;
  }

  get identity(): ClientIdentity {
    return this.#credentials.who();
  }

  /** For a socket whose client may send what is compressed. */
  get inflater() {
    return this.#arrivals.inflater;
  }

  get signal(): AbortSignal {
    if (this.#states.now === 'closed') return AbortSignal.abort(new ClientGone());
    this.#gone ??= new AbortController();
    return this.#gone.signal;
  }

  receive(message: Incoming): void {
    this.#arrivals.put(message);
  }

  /** A ping of the WebSocket protocol, which asks whether this side is there: at once, whatever it is doing. */
  pinged(payload: Uint8Array): void {
    this.heard();
    this.#options.sendQueue.pong(payload);
    this.#arrivals.pinged();
  }

  heard(): void {
    const { session } = this;
    if (session !== undefined) this.#options.service.sessions.sharedSites.heard(session);
  }

  refuseUnread(reason: SyncError): void {
    this.#options.sendQueue.pause();
    this.#states.on('ended');
    this.replies.refuseUnread(reason);
  }

  end(reason: SyncError): void {
    this.#states.on('ended');
    this.#ended ??= reason;
    this.session?.end();
    this.replies.end(reason);
  }

  /** The socket has closed. */
  closed(): void {
    this.#states.on('closed');
    this.#wait?.end();
    this.#gone?.abort(new ClientGone());
    this.#options.service.clients.delete(this);
    this.#arrivals.clear();
    if (this.#membership !== undefined) leave(this, this.#membership);
  }

  carryOut(message: ClientMessage): Promise<void> | undefined {
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
    const { session } = this;
    if (session === undefined) {
      throw new SyncError('NOT_AUTHENTICATED', `${message.type} before the handshake`);
    }
    const { identity } = this;
    service.clients.refuseExpired(identity);
    if (message.type === 'authenticate') return this.#authenticate(message, requestId);
    const origin = Object.assign({}, originOf(identity), { requestId });
    return this.#requests.take(message, session, origin);
  }

  async #handshake(message: Handshake, requestId: string): Promise<void> {
    this.#states.on('handshake');
    this.#wait?.begin();
    const { service, socket } = this.#options;
    try {
      await this.#credentials.accept(message, requestId);
      // From now on it is ended when its credentials expire or are revoked.
      service.clients.add(this);
      await join(this, message, {
        socket,
        requests: this.#requests,
        admit: () => this.#admit(),
        begin: (membership) => this.#begin(membership),
      });
    } catch (error) {
      this.#states.on('ended');
      if (error === this.#ended) return;
      this.replies.end(toSyncError(error));
    } finally {
      this.#wait?.end();
      this.#wait = undefined;
    }
  }

  #admit(): void {
    if (this.#options.sendQueue.isOpen && this.#states.on('admitted')) return;
    throw this.#ended ?? new SyncError('SHUTTING_DOWN', 'the socket has closed');
  }

  #begin(membership: Membership): void {
    this.#membership = membership;
    // Its listeners are gone. The session gets a new one when it needs it.
    this.#gone = undefined;
    this.#credentials.use();
  }

  /** Renews the session's credentials. */
  async #authenticate({ token, requestId }: Authenticate, ownRequestId: string): Promise<void> {
    const { expiresAt } = await this.#credentials.renew(token, ownRequestId);
    this.replies.send({ type: 'authenticated', requestId, expiresAt });
    // Pushes wait for this. Requests have the hooks asked in any case.
    void this.reconsider();
  }

  renewed(identity: ClientIdentity): void {
    const { session } = this;
    if (session !== undefined) session.identity = identity;
  }

  recheck(): Promise<void> {
    return this.#credentials.recheck();
  }

  async reconsider(): Promise<void> {
    await this.session?.reconsider();
  }
}
