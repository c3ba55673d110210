/** A socket in appearance: each message becomes a request, and what others write is polled for. */

import { WS_AUTH_FAILED } from '../../../../src/protocol/close-codes.ts';
import type { Environment, SocketLike } from '../environment.ts';
import type { ApplyResult, ClientMessage, SentChangeSet } from '../protocol/messages.ts';
import { type Fetch, linesOf, Refusal, Requests } from './requests.ts';

export interface HttpOptions {
  /** So often others' changes are asked for, in milliseconds; sooner after own ones. Default: 5,000. */
  pollMs?: number;
  /** After so long `autoTransport` looks whether WebSockets can be had again. Default: 300,000. */
  retryMs?: number;
  /** Default: the runtime's. */
  fetch?: Fetch;
}

const FATAL = [
  'AUTH_FAILED',
  'INVALID_DATABASE_ID',
  'PROTOCOL_VERSION_MISMATCH',
  'ALREADY_AUTHENTICATED',
];
/** Others may have answered to own changes. */
const AFTER_APPLY_MS = 500;

interface Page {
  changes: SentChangeSet[];
  hasMore: boolean;
  watermark: string;
}

export class HttpSocket implements SocketLike {
  onopen: SocketLike['onopen'] = null;
  onmessage: SocketLike['onmessage'] = null;
  onclose: SocketLike['onclose'] = null;
  onerror: SocketLike['onerror'] = null;
  readonly #environment: Environment;
  readonly #options: HttpOptions;
  readonly #requests: Requests;
  #queue = Promise.resolve();
  /** Where polling goes on; missing until there was an answer to go on from. */
  #since: string | undefined;
  #cancelPoll = () => {};
  #isPolling = false;
  #isClosed = false;
  readonly #cancels: (() => void)[] = [];

  constructor(url: string, environment: Environment, options: HttpOptions, onAnswer?: () => void) {
    this.#requests = new Requests(url, options.fetch, onAnswer);
    this.#environment = environment;
    this.#options = options;
    // Whether anybody is there shows in the first answer.
    void this.#queue.then(() => this.#isClosed || this.onopen?.());
  }

  after(ms: number, run: () => void): void {
    if (!this.#isClosed) this.#cancels.push(this.#environment.after(ms, run));
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelPoll();
    for (const cancel of this.#cancels) cancel();
    this.#requests.abort();
  }

  end(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.close();
    this.onclose?.({ code, reason });
  }

  send(text: string): void {
    const message: ClientMessage = JSON.parse(text);
    // It is to show whether the server is there, whatever else is under way.
    if (message.type === 'ping') void this.#run(undefined, () => this.#ping());
    else {
      const requestId = 'requestId' in message ? message.requestId : undefined;
      const work = () => this.#answer(message, requestId);
      this.#queue = this.#queue.then(() => this.#run(requestId, work));
    }
  }

  #tell(message: object): void {
    if (!this.#isClosed) this.onmessage?.({ data: JSON.stringify(message) });
  }

  async #run(requestId: string | undefined, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (!(cause instanceof Refusal)) return this.end(1006, String(cause));
      const { told } = cause;
      const fatal = FATAL.includes(told.code);
      this.#tell({ type: 'error', message: told.code, ...told, fatal, requestId });
      if (told.code === 'AUTH_EXPIRED') this.end(WS_AUTH_FAILED, told.code);
      else if (requestId === undefined) this.#pollIn(told.retryAfterMs);
    }
  }

  async #answer(message: ClientMessage, requestId: string | undefined): Promise<void> {
    switch (message.type) {
      case 'handshake':
        this.#requests.handshake = message;
        return this.#tell({ type: 'handshake_ack' });
      case 'authenticate':
        this.#requests.handshake.token = message.token;
        return this.#tell({ type: 'authenticated', requestId });
      case 'get_changes':
        this.#since = message.sinceHLC ?? undefined;
        await this.#pages((page) => this.#tell({ type: 'changes', requestId, ...page }));
        return this.#pollIn();
      case 'apply_changes': {
        const result = await this.#requests.call<ApplyResult>('/changes', message.changes);
        this.#tell({ type: 'apply_result', requestId, ...result });
        return this.#pollIn(AFTER_APPLY_MS);
      }
      case 'get_snapshot':
        return this.#snapshot(requestId);
      case 'resume_snapshot':
        return this.#snapshot(requestId, message.checkpoint);
    }
  }

  /** All pages up to the end of the log. */
  async #pages(take: (page: { changeSets: object[]; hasMore: boolean }) => void): Promise<void> {
    this.#cancelPoll();
    this.#isPolling = true;
    try {
      for (let hasMore = true; hasMore && !this.#isClosed; ) {
        const query = this.#since ? `?sinceHLC=${encodeURIComponent(this.#since)}` : '';
        const page = await this.#requests.call<Page>(`/changes${query}`);
        const { changes, watermark } = page;
        hasMore = page.hasMore;
        // It may say more than the last position does: so it is taken for one.
        const end = { siteId: '', transactionId: '', hlc: watermark, changes: [] };
        take({ changeSets: [...changes, { ...end, schemaMigrations: [] }], hasMore });
        this.#since = watermark;
      }
    } finally {
      this.#isPolling = false;
    }
  }

  async #poll(): Promise<void> {
    if (this.#isPolling) return;
    await this.#pages(({ changeSets }) => {
      if (changeSets.length > 1) this.#tell({ type: 'push_changes', changeSets });
    });
    this.#pollIn();
  }

  #pollIn(ms = (this.#options.pollMs ?? 5_000) * (0.75 + this.#environment.random() / 2)): void {
    this.#cancelPoll();
    if (this.#since === undefined || this.#isClosed) return;
    this.#cancelPoll = this.#environment.after(ms, () => this.#run(undefined, () => this.#poll()));
  }

  async #ping(): Promise<void> {
    if (this.#since === undefined || this.#isPolling) await this.#requests.ask('/status');
    else await this.#poll();
    this.#tell({ type: 'pong' });
  }

  async #snapshot(requestId?: string, checkpoint?: object): Promise<void> {
    // What comes meanwhile is asked for after it.
    this.#since = undefined;
    this.#cancelPoll();
    const response = await this.#requests.ask('/snapshot', checkpoint);
    let isWhole = false;
    for await (const line of linesOf(response)) {
      const { error, ...chunk } = JSON.parse(line);
      if (error !== undefined) throw new Refusal(error);
      this.#tell({ type: 'snapshot_chunk', chunk });
      isWhole = chunk.type === 'footer';
    }
    if (!isWhole) throw new Error('the snapshot broke off');
    this.#tell({ type: 'snapshot_complete', requestId });
  }
}
