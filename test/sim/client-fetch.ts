/** `fetch` as a simulated client has it: a request reaches any of the coordinators, or none. */

import type { Fetch } from '../../packages/client/src/http/index.ts';
import { SyncError } from '../../src/errors/sync-error.ts';
import { readerOf } from '../../src/service/access/rights.ts';
import type { ServedSnapshot } from '../../src/service/delivery/served-snapshots.ts';
import { applyAnswer } from '../../src/wire/apply-answer.ts';
import type { Nodes } from './nodes.ts';

export interface ClientFetchOptions {
  nodes: Nodes;
  siteId: string;
  databaseId: string;
  /** Whether the client has not ended: nothing is answered to one that has. */
  isAlive(): boolean;
}

type Serve = Parameters<typeof Nodes.prototype.request<string>>[2];

export function createFetch({ nodes, siteId, databaseId, isAlive }: ClientFetchOptions): Fetch {
  const serve = async (work: Serve): Promise<{ status: number; text: string }> => {
    try {
      return { status: 200, text: await nodes.request(siteId, databaseId, work) };
    } catch (error) {
      if (!(error instanceof SyncError)) throw error;
      const { code, message, retryAfterMs } = error;
      return { status: 400, text: JSON.stringify({ error: { code, message, retryAfterMs } }) };
    }
  };
  return async (url, { body }) => {
    const outcome = await serve(workOf(new URL(url, 'http://localhost'), databaseId, body)).then(
      (answer) => () => answer,
      (error: unknown) => () => {
        throw error;
      },
    );
    if (!isAlive()) await new Promise(() => {});
    const { status, text } = outcome();
    return { status, headers: new Headers(), text: async () => text };
  };
}

function workOf({ pathname, searchParams }: URL, databaseId: string, body?: string): Serve {
  const said = body === undefined ? undefined : JSON.parse(body);
  if (pathname.endsWith('/status')) return async () => '{}';
  return (service, client) =>
    service.withAccess(databaseId, async (access) => {
      if (pathname.endsWith('/snapshot')) {
        return readSnapshot(
          await service.delivery.snapshots.open(readerOf(client), access, { checkpoint: said }),
        );
      }
      if (said !== undefined) {
        const { result } = await service.handleApplyChanges(client, access, said);
        return `{"data":${Buffer.concat(await applyAnswer(result))}}`;
      }
      const sinceHLC = searchParams.get('sinceHLC') ?? undefined;
      const page = await service.delivery.changes(readerOf(client), access, { sinceHLC });
      const changes = page.changeSets.map((json) => Buffer.from(json).toString());
      const { hasMore, watermark } = page;
      const rest = JSON.stringify({ hasMore, watermark }).slice(1);
      return `{"data":{"changes":[${changes.join()}],${rest}}`;
    });
}

async function readSnapshot(snapshot: ServedSnapshot): Promise<string> {
  const lines: string[] = [];
  try {
    for await (const chunk of snapshot.chunks) lines.push(Buffer.from(chunk).toString());
  } finally {
    await snapshot.close();
  }
  await snapshot.noteSent();
  return lines.join('\n');
}
