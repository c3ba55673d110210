/** HTTP as it is put on the wire: paths, headers and bodies that a polite client would mend. */

import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';

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
  const outgoing = request({ hostname, port, method, path, headers, agent: false });
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

function parseOrUndefined(received: string): RawResponse['json'] {
  try {
    return JSON.parse(received);
  } catch {
    return undefined;
  }
}
