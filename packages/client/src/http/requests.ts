/** The server's HTTP API, as one client of it asks: what it answers, or why it refuses. */

import { globalsAs } from '../globals.ts';
import type { ClientMessage } from '../protocol/messages.ts';

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

/** What proxies answer by themselves, without a code. */
const CODES: Record<number, string> = { 413: 'TOO_LARGE', 429: 'RATE_LIMITED', 503: 'OVERLOADED' };

/** As it is told to the client: a message, without its request. */
export class Refusal extends Error {
  readonly told: { code: string; retryAfterMs: number | undefined };

  constructor(told: { code: string; retryAfterMs: number | undefined }) {
    super(told.code);
    this.told = told;
  }
}

export class Requests {
  /** Who asks, and for which database. */
  handshake: Partial<Extract<ClientMessage, { type: 'handshake' }>> = {};
  readonly #base: string;
  readonly #fetch: Fetch;
  readonly #onAnswer: () => void;
  readonly #abort = new (globalsAs<Globals>().AbortController)();

  /**
   * @param url that of the WebSocket
   * @param onAnswer called when the server has answered and refused nothing
   */
  constructor(url: string, fetch: Fetch = globalsAs<Globals>().fetch, onAnswer = () => {}) {
    this.#base = url.replace(/^ws/, 'http').replace(/\/ws\/?$/, '');
    this.#fetch = fetch;
    this.#onAnswer = onAnswer;
  }

  /** Breaks off all that is under way. */
  abort(): void {
    this.#abort.abort();
  }

  /** @returns the data of the answer */
  async call<T>(path: string, body?: object): Promise<T> {
    return JSON.parse(await (await this.ask(path, body)).text()).data;
  }

  /** @throws Refusal if the server says why; else the network, or what is between */
  async ask(path: string, body?: object): Promise<FetchResponse> {
    const { siteId = '', databaseId = 'default', token } = this.handshake;
    const headers: Record<string, string> = { 'X-Site-Id': siteId };
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    // Called as what it is in a browser: a function of nothing.
    const fetch = this.#fetch;
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

/** The lines of a body, as they come. */
export async function* linesOf(response: FetchResponse): AsyncGenerator<string> {
  const reader = response.body?.getReader();
  let rest = '';
  // React Native has the text as a whole only.
  if (reader === undefined) rest = await response.text();
  const decoder = reader && new (globalsAs<Globals>().TextDecoder)();
  for (let isDone = false; !isDone; ) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    isDone = done;
    const lines = `${rest}${decoder?.decode(value, { stream: !done }) ?? ''}`.split('\n');
    rest = (isDone ? '' : lines.pop()) ?? '';
    for (const line of lines) if (line !== '') yield line;
  }
}
