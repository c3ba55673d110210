/**
 * A client of the protocol over a real WebSocket, for tests: sends and receives single messages.
 */

import { once } from 'node:events';
import { Compile } from 'typebox/compile';
import WebSocket from 'ws';
import type { ClientSoftware, WireChangeSet } from '../protocol/schemas.ts';
import { SERVER_MESSAGE_SCHEMAS } from '../protocol/server-messages.ts';

/** A received message, which fits its schema. */
export type ReceivedMessage = { type: string } & Record<string, unknown>;

export interface ChangeSetsMessage extends ReceivedMessage {
  changeSets: WireChangeSet[];
}

const validators = new Map(
  Object.entries(SERVER_MESSAGE_SCHEMAS).map(([type, schema]) => [type, Compile(schema)]),
);

/** @throws if it does not fit its schema */
function readMessage(text: string): ReceivedMessage {
  const message: ReceivedMessage = JSON.parse(text);
  const validator = validators.get(message.type);
  // Unknown types are accepted: later versions may add some, and a test may have a server of its
  // own.
  const [fault] = validator?.Errors(message) ?? [];
  if (fault === undefined) return message;
  const { instancePath, message: what } = fault;
  throw new Error(`${message.type}${instancePath} of the server ${what}: ${text.slice(0, 1000)}`);
}

interface Waiter {
  matches(message: ReceivedMessage): boolean;
  resolve(message: ReceivedMessage): void;
  reject(error: unknown): void;
}

export class TestClient {
  readonly socket: WebSocket;
  /** Messages that no call has waited for yet. */
  readonly received: ReceivedMessage[] = [];
  /** All messages, in order. */
  readonly log: ReceivedMessage[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #waiters: Waiter[] = [];
  #requests = 0;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#giveUp(new Error(`the socket closed with ${code} ${reason}`));
      });
    });
    socket.on('message', (data) => {
      try {
        this.#receive(readMessage(data.toString()));
      } catch (fault) {
        this.#giveUp(fault);
        throw fault;
      }
    });
    socket.on('error', () => undefined);
  }

  static async open(url: string, options: WebSocket.ClientOptions = {}): Promise<TestClient> {
    const socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    const client = new TestClient(socket);
    await once(socket, 'open');
    return client;
  }

  /** Opens a socket and completes the handshake. */
  static async join(
    url: string,
    handshake: { siteId: string; databaseId?: string; token?: string; client?: ClientSoftware },
    t?: { after(fn: () => void): void },
  ): Promise<TestClient> {
    const client = await TestClient.open(url);
    t?.after(() => client.socket.terminate());
    client.send({ type: 'handshake', ...handshake, protocolVersion: 1 });
    await client.next('handshake_ack');
    return client;
  }

  #giveUp(error: unknown): void {
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters = [];
  }

  #receive(message: ReceivedMessage): void {
    this.log.push(message);
    const index = this.#waiters.findIndex((waiter) => waiter.matches(message));
    if (index < 0) {
      this.received.push(message);
      return;
    }
    const [waiter] = this.#waiters.splice(index, 1);
    waiter?.resolve(message);
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  /** The next message of a type, received already or later. */
  next(type: string): Promise<ReceivedMessage> {
    return this.nextWhere((message) => message.type === type, type);
  }

  nextWhere(
    matches: (message: ReceivedMessage) => boolean,
    what = 'a message',
  ): Promise<ReceivedMessage> {
    const index = this.received.findIndex(matches);
    if (index >= 0) {
      const [message] = this.received.splice(index, 1);
      if (message !== undefined) return Promise.resolve(message);
    }
    if (this.socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new Error(`waiting for ${what} on a socket that has closed`));
    }
    return new Promise((resolve, reject) => {
      this.#waiters.push({ matches, resolve, reject });
    });
  }

  /** Sends a batch. Resolves with the server's answer: an `apply_result` or an `error`. */
  apply(...changes: WireChangeSet[]): Promise<ReceivedMessage> {
    const requestId = `apply-${++this.#requests}`;
    this.send({ type: 'apply_changes', changes, requestId });
    return this.nextWhere((message) => message.requestId === requestId, requestId);
  }

  /** Asks for changes. Resolves with the change sets of the next message of the answer. */
  async changesSince(sinceHLC?: string): Promise<WireChangeSet[]> {
    this.send({ type: 'get_changes', sinceHLC });
    const message = await this.nextWhere(
      ({ type }) => type === 'changes' || type === 'error',
      'changes',
    );
    if (message.type === 'error') throw new Error(`${message.code}: ${message.message}`);
    return (message as ChangeSetsMessage).changeSets;
  }

  async nextPush(): Promise<WireChangeSet[]> {
    return ((await this.next('push_changes')) as ChangeSetsMessage).changeSets;
  }

  /** Fetches a whole snapshot. @returns its chunks */
  async snapshot(checkpoint?: object): Promise<Record<string, unknown>[]> {
    this.send(
      checkpoint === undefined ? { type: 'get_snapshot' } : { type: 'resume_snapshot', checkpoint },
    );
    const chunks: Record<string, unknown>[] = [];
    for (;;) {
      const message = await this.nextWhere(
        ({ type }) => type.startsWith('snapshot') || type === 'error',
      );
      if (message.type === 'snapshot_complete') return chunks;
      if (message.type === 'error') throw new Error(`${message.code}: ${message.message}`);
      chunks.push(message.chunk as Record<string, unknown>);
    }
  }

  /** Resolves once the server has sent all that it sends before a pong. */
  async settled(): Promise<void> {
    this.send({ type: 'ping' });
    await this.next('pong');
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closed;
  }
}
