/** What both transports can do, as one interface, so that one suite says what both must do. */

import assert from 'node:assert/strict';
import type { ErrorCode } from '../../src/protocol/error-codes.ts';
import type { WireChangeSet, WireCheckpoint } from '../../src/protocol/schemas.ts';
import type {
  ServerMessages,
  ServerMessageType,
  WireApplyResult,
} from '../../src/protocol/server-messages.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';
import type { Deployment } from './deployment.ts';

export type Chunk = { type: string } & Record<string, unknown>;

interface Told {
  code: ErrorCode;
  message: string;
  serverTimeMs?: number;
}

/** A refusal, as either transport told it. */
export class Refusal extends Error {
  readonly code: ErrorCode;
  readonly serverTimeMs: number | undefined;

  constructor({ code, message, serverTimeMs }: Told) {
    super(`${code}: ${message}`);
    this.code = code;
    this.serverTimeMs = serverTimeMs;
  }
}

/** One site's way to the server. Every method rejects with a `Refusal` when the server refuses. */
export interface SyncTransport {
  apply(...changeSets: WireChangeSet[]): Promise<WireApplyResult>;
  /** Everything after a position, to the end. */
  changesSince(hlc?: string): Promise<WireChangeSet[]>;
  snapshot(checkpoint?: WireCheckpoint): Promise<Chunk[]>;
}

export interface Site {
  siteId: string;
  databaseId?: string | undefined;
}

/** Who is spoken to: which node of several answers is decided anew for each request or socket. */
export type Endpoint = Pick<Deployment, 'httpUrl' | 'wsUrl'>;

export type Connect = (
  server: Endpoint,
  site: Site,
  t: { after(fn: () => void): void },
) => Promise<SyncTransport>;

interface Envelope {
  ok: boolean;
  data: unknown;
  error: Told;
}

class HttpTransport implements SyncTransport {
  readonly #server: Endpoint;
  readonly #database: string;
  readonly #headers: Record<string, string>;

  constructor(server: Endpoint, { siteId, databaseId }: Site) {
    this.#server = server;
    this.#database = databaseId === undefined ? '' : `/${encodeURIComponent(databaseId)}`;
    this.#headers = { 'x-site-id': siteId, 'content-type': 'application/json' };
  }

  get #url(): string {
    return `${this.#server.httpUrl}${this.#database}`;
  }

  async #ask<T>(path: string, init: RequestInit = {}): Promise<T> {
    const response = await fetch(`${this.#url}${path}`, { headers: this.#headers, ...init });
    const { ok, data, error } = (await response.json()) as Envelope;
    if (!ok) throw new Refusal(error);
    return data as T;
  }

  apply(...changeSets: WireChangeSet[]): Promise<WireApplyResult> {
    return this.#ask('/changes', { method: 'POST', body: JSON.stringify(changeSets) });
  }

  async changesSince(hlc?: string): Promise<WireChangeSet[]> {
    const changeSets: WireChangeSet[] = [];
    let since = hlc;
    for (;;) {
      const query = since === undefined ? '' : `?sinceHLC=${encodeURIComponent(since)}`;
      const page = await this.#ask<{
        changes: WireChangeSet[];
        hasMore: boolean;
        watermark: string;
      }>(`/changes${query}`);
      changeSets.push(...page.changes);
      if (!page.hasMore) return changeSets;
      since = page.watermark;
    }
  }

  async snapshot(checkpoint?: WireCheckpoint): Promise<Chunk[]> {
    const init: RequestInit = { headers: this.#headers };
    if (checkpoint !== undefined) {
      init.method = 'POST';
      init.body = JSON.stringify(checkpoint);
    }
    const response = await fetch(`${this.#url}/snapshot`, init);
    const text = await response.text();
    if (!response.ok) {
      const { error } = JSON.parse(text) as Envelope;
      throw new Refusal(error);
    }
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line));
  }
}

/** The client of the tests has checked each message against the schema of its type. */
function isOneOf<T extends ServerMessageType>(...types: T[]) {
  const named: ReadonlySet<string> = new Set(types);
  return (message: ReceivedMessage): message is ReceivedMessage & ServerMessages[T] =>
    named.has(message.type);
}

const isError = isOneOf('error');

class WsTransport implements SyncTransport {
  readonly #client: TestClient;

  constructor(client: TestClient) {
    this.#client = client;
  }

  async #answer<T extends ServerMessageType>(...types: T[]): Promise<ServerMessages[T]> {
    const isAnswer = isOneOf(...types);
    const answer = await this.#client.nextWhere((it) => isError(it) || isAnswer(it));
    if (isError(answer)) throw new Refusal(answer);
    return isAnswer(answer) ? answer : assert.fail(`nobody waits for ${answer.type}`);
  }

  async apply(...changes: WireChangeSet[]): Promise<WireApplyResult> {
    this.#client.send({ type: 'apply_changes', changes, requestId: 'apply' });
    const { type: _, requestId: __, ...result } = await this.#answer('apply_result');
    return result;
  }

  async changesSince(sinceHLC?: string): Promise<WireChangeSet[]> {
    this.#client.send({ type: 'get_changes', sinceHLC });
    const { changeSets } = await this.#answer('changes');
    return changeSets;
  }

  async snapshot(checkpoint?: WireCheckpoint): Promise<Chunk[]> {
    const type = checkpoint === undefined ? 'get_snapshot' : 'resume_snapshot';
    this.#client.send({ type, checkpoint });
    const chunks: Chunk[] = [];
    for (;;) {
      const message = await this.#answer('snapshot_chunk', 'snapshot_complete');
      if (message.type === 'snapshot_complete') return chunks;
      chunks.push(message.chunk);
    }
  }
}

export const overHttp: Connect = async (server, site) => new HttpTransport(server, site);

export const overWebSocket: Connect = async (server, { siteId, databaseId }, t) => {
  const handshake = databaseId === undefined ? { siteId } : { siteId, databaseId };
  return new WsTransport(await TestClient.join(server.wsUrl, handshake, t));
};
