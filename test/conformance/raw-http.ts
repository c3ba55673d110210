/** HTTP as it is put on the wire: paths, headers and bodies that a polite client would mend. */

import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';

export interface RawRequest {
  method?: string;
  /** Everything after the port, sent as it is. */
  path: string;
  headers?: Record<string, string | string[]>;
  body?: string | Uint8Array;
}

export interface RawResponse {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The body as JSON; `undefined` where it is none. */
  json: { ok?: boolean; data?: unknown; error?: { code: string; message: string } } | undefined;
}

export async function rawRequest(
  url: string,
  { method = 'GET', path, headers = {}, body }: RawRequest,
): Promise<RawResponse> {
  const { hostname, port } = new URL(url);
  // A GET with a body would otherwise go out without saying where the body ends.
  const framing = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const outgoing = request({
    hostname,
    port,
    method,
    path,
    headers: { ...headers, ...framing },
    agent: false,
  });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const received = await text(incoming);
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    text: received,
    json: parseOrUndefined(received),
  };
}

export interface ChangesPage {
  changes: WireChangeSet[];
  hasMore: boolean;
  watermark: string;
}

/** The page of changes that an answer holds. */
export function pageOf({ json, text: received }: RawResponse): ChangesPage {
  if (json?.ok !== true) throw new Error(`not a page of changes: ${received.slice(0, 200)}`);
  return json.data as ChangesPage;
}

function parseOrUndefined(received: string): RawResponse['json'] {
  try {
    return JSON.parse(received);
  } catch {
    return undefined;
  }
}
