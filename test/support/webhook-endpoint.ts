/** An HTTP endpoint for webhooks, which checks signatures and remembers what it has taken. */

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { WebhookOptions } from '../../src/hooks/builtin/webhook.ts';
import { temporaryDirectory } from './server.ts';

export const SECRET = 'a secret of the endpoint';

export function optionsFor(url: string): WebhookOptions {
  const directory = join(temporaryDirectory(), 'queue');
  return { url, secret: SECRET, directory, backoffMinMs: 5, backoffMaxMs: 20 };
}

export interface WebhookEvent {
  type: string;
  id: string;
  databaseId: string;
  transactions: {
    userId?: string;
    siteId: string;
    transactionId: string;
    position: string;
    changes: { table: string }[];
  }[];
}

export async function startEndpoint(t: TestContext) {
  const endpoint = {
    url: '',
    taken: [] as WebhookEvent[],
    attempts: [] as IncomingHttpHeaders[],
    /** Says how to answer an attempt; nothing is an answer of 200. */
    answer: (_response: ServerResponse): boolean => false,
    /** Resolves when so many transactions have been taken. */
    async took(matches: (ids: string[]) => boolean): Promise<string[]> {
      for (;;) {
        const ids = this.taken.flatMap((event) =>
          event.transactions.map((each) => each.transactionId),
        );
        if (matches(ids)) return ids;
        await new Promise<void>((resolve) => changed.push(resolve));
      }
    },
    attempted: (count: number) => waitFor(() => endpoint.attempts.length >= count),
  };
  let changed: (() => void)[] = [];
  async function waitFor(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => changed.push(resolve));
  }
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const data of request) body += data;
    endpoint.attempts.push(request.headers);
    const {
      'webhook-id': id,
      'webhook-timestamp': time,
      'webhook-signature': signature,
    } = request.headers;
    const expected = createHmac('sha256', SECRET).update(`${id}.${time}.${body}`).digest('base64');
    assert.equal(signature, `v1,${expected}`);
    if (!endpoint.answer(response)) {
      endpoint.taken.push(JSON.parse(body));
      response.end('taken');
    }
    const waiting = changed;
    changed = [];
    for (const resolve of waiting) resolve();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close().closeAllConnections());
  endpoint.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return endpoint;
}
