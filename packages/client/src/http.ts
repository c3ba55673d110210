/**
 * The protocol over HTTP, for networks in which WebSockets are blocked: answers as a socket would, and
 * polls for what others write.
 */

import { WS_CLOSE } from '../../../src/protocol/close-codes.ts';
import type { Environment, SocketLike, Transport } from './environment.ts';
import type { ApplyResult, ClientMessage, SentChangeSet } from './protocol/messages.ts';

export interface HttpOptions {
  /** So often others' changes are asked for, in milliseconds; sooner after own ones. Default: 5,000. */
  pollMs?: number;
  /** After so long `autoTransport` looks whether WebSockets can be had again. Default: 300,000. */
  retryMs?: number;
  /** Default: the runtime's. */
  fetch?: Fetch;
}

/** What is used of `fetch`. */
export type Fetch = (url: string, request: FetchRequest) => Promise<FetchResponse>;

interface FetchRequest {
  method: string;
  headers: Record<string, string>;
  body?: string;
  signal: never;
}

interface FetchResponse {
  status: number;
  headers: { get(name: string): string | null };
  text(): Promise<string>;
  body?: { getReader(): { read(): Promise<{ done: boolean; value?: Uint8Array }> } } | null;
}

interface Globals {
  fetch: Fetch;
  AbortController: new () => { abort(): void; signal: never };
  TextDecoder: new () => { decode(bytes?: Uint8Array, options?: { stream: boolean }): string };
}

const globals = globalThis as unknown as Globals;

/** What proxies answer by themselves, without a code. */
const CODES: Record<number, string> = { 413: 'TOO_LARGE', 429: 'RATE_LIMITED', 503: 'OVERLOADED' };
const FATAL = [
  'AUTH_FAILED',
  'INVALID_DATABASE_ID',
  'PROTOCOL_VERSION_MISMATCH',
  'ALREADY_AUTHENTICATED',
];
/** Others may have answered to own changes. */
const AFTER_APPLY_MS = 500;

/** As it is told to the client: a message, without its request. */
class Refusal extends Error {
  readonly told: { code: string; retryAfterMs: number | undefined };

  constructor(told: { code: string; retryAfterMs: number | undefined }) {
    super(told.code);
    this.told = told;
  }
}

interface Page {
  changes: SentChangeSet[];
  hasMore: boolean;
  watermark: string;
}

type Handshake = Extract<ClientMessage, { type: 'handshake' }>;

class HttpSocket implements SocketLike {
  onopen: SocketLike['onopen'] = null;
  onmessage: SocketLike['onmessage'] = null;
  onclose: SocketLike['onclose'] = null;
  onerror: SocketLike['onerror'] = null;
  readonly #base: string;
  readonly #environment: Environment;
  readonly #options: HttpOptions;
  readonly #abort = new globals.AbortController();
  #handshake: Partial<Handshake> = {};
  #queue = Promise.resolve();
  /** Where polling goes on; missing until there was an answer to go on from. */
  #since: string | undefined;
  #cancelPoll = () => {};
  #isPolling = false;
  #isClosed = false;
  readonly #onAnswer: () => void;
  readonly #cancels: (() => void)[] = [];

  constructor(
    url: string,
    environment: Environment,
    options: HttpOptions,
    onAnswer: () => void = () => {},
  ) {
    this.#onAnswer = onAnswer;
    this.#base = url.replace(/^ws/, 'http').replace(/\/ws\/?$/, '');
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
    this.#abort.abort();
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
      if (told.code === 'AUTH_EXPIRED') this.end(WS_CLOSE.authFailed, told.code);
      else if (requestId === undefined) this.#pollIn(told.retryAfterMs);
    }
  }

  async #answer(message: ClientMessage, requestId: string | undefined): Promise<void> {
    switch (message.type) {
      case 'handshake':
        this.#handshake = message;
        return this.#tell({ type: 'handshake_ack' });
      case 'authenticate':
        this.#handshake.token = message.token;
        return this.#tell({ type: 'authenticated', requestId });
      case 'get_changes':
        this.#since = message.sinceHLC ?? undefined;
        await this.#pages((page) => this.#tell({ type: 'changes', requestId, ...page }));
        return this.#pollIn();
      case 'apply_changes': {
        const result = await this.#call<ApplyResult>('/changes', message.changes);
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
        const page = await this.#call<Page>(`/changes${query}`);
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
    if (this.#since === undefined || this.#isPolling) await this.#fetch('/status');
    else await this.#poll();
    this.#tell({ type: 'pong' });
  }

  async #snapshot(requestId?: string, checkpoint?: object): Promise<void> {
    // What comes meanwhile is asked for after it.
    this.#since = undefined;
    this.#cancelPoll();
    const response = await this.#fetch('/snapshot', checkpoint);
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

  async #call<T>(path: string, body?: object): Promise<T> {
    return JSON.parse(await (await this.#fetch(path, body)).text()).data;
  }

  /** @throws Refusal if the server says why; else the network, or what is between */
  async #fetch(path: string, body?: object): Promise<FetchResponse> {
    const { siteId = '', databaseId = 'default', token } = this.#handshake;
    const headers: Record<string, string> = { 'X-Site-Id': siteId };
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    const { fetch = globals.fetch } = this.#options;
    const response = await fetch(`${this.#base}/${databaseId}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      body: body && JSON.stringify(body),
      signal: this.#abort.signal,
    });
    const { status } = response;
    if (status < 300) {
      this.#onAnswer();
      return response;
    }
    const text = await response.text();
    const seconds = Number(response.headers.get('Retry-After') ?? Number.NaN);
    const retryAfterMs = Number.isNaN(seconds) ? undefined : seconds * 1_000;
    const code = CODES[status];
    throw new Refusal({ retryAfterMs, ...errorOf(text, code ? { code } : undefined) });
  }
}

/** @throws Error for what is no answer of a coordinator */
function errorOf(text: string, otherwise: { code: string } | undefined): { code: string } {
  try {
    const { error } = JSON.parse(text);
    if (typeof error.code === 'string') return error;
  } catch {
    // A page of a proxy.
  }
  if (otherwise === undefined) throw new Error(`no answer of a coordinator: ${text.slice(0, 99)}`);
  return otherwise;
}

async function* linesOf(response: FetchResponse): AsyncGenerator<string> {
  const reader = response.body?.getReader();
  let rest = '';
  // React Native has the text as a whole only.
  if (reader === undefined) rest = await response.text();
  const decoder = reader && new globals.TextDecoder();
  for (let isDone = false; !isDone; ) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    isDone = done;
    const lines = `${rest}${decoder?.decode(value, { stream: !done }) ?? ''}`.split('\n');
    rest = (isDone ? '' : lines.pop()) ?? '';
    for (const line of lines) if (line !== '') yield line;
  }
}

/** Only HTTP. What others write comes by polling. */
export function httpTransport(options: HttpOptions = {}): Transport {
  return (url, environment) => new HttpSocket(url, environment, options);
}

/**
 * A WebSocket, and HTTP where two in a row brought nothing although HTTP is answered. Later a WebSocket
 * is tried again.
 */
export function autoTransport(options: HttpOptions = {}): Transport {
  /** WebSockets in a row that brought nothing. */
  let failures = 0;
  const openHttp: Transport = (url, environment) => {
    // Where HTTP is not answered either, it is WebSocket's turn again.
    failures = 1;
    const http = new HttpSocket(url, environment, options, () => {
      failures = 2;
    });
    const probe = () => {
      const socket = environment.openSocket(url);
      socket.onerror = () => undefined;
      socket.onclose = () => http.after(retryMs, probe);
      socket.onopen = () => {
        socket.onclose = null;
        socket.close();
        failures = 0;
        http.end(WS_CLOSE.shuttingDown, 'a WebSocket can be had');
      };
    };
    const { retryMs = 300_000 } = options;
    http.after(retryMs, probe);
    return http;
  };
  return (url, environment) => {
    if (failures >= 2) return openHttp(url, environment);
    failures++;
    const socket = environment.openSocket(url);
    socket.addEventListener?.('message', () => {
      failures = 0;
    });
    return socket;
  };
}
