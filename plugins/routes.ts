/** The HTTP routes, each with and without a database. Bodies are decoded by `src/wire` alone. */

import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { type HlcText, parseHlcParameter } from '../src/clock/hlc.ts';
import { siteIdToText } from '../src/clock/site-id.ts';
import { SyncError, toSyncError } from '../src/errors.ts';
import type { ClientIdentity } from '../src/hooks/types.ts';
import { createLogger } from '../src/logger.ts';
import type { Database, DatabaseLease } from '../src/service/database-pool.ts';
import { changesPageJson } from '../src/service/frames.ts';
import { decodeApplyBody, decodeCheckpointBody } from '../src/wire/decode.ts';
import type { WireCheckpoint } from '../src/wire/schemas.ts';

const DEFAULT_DATABASE_ID = 'default';
const logger = createLogger('sync-coordinator:http');

interface ForDatabase {
  Params: { databaseId?: string };
}
interface ForChanges extends ForDatabase {
  Querystring: { sinceHLC?: string; limit?: string };
}

interface Client {
  identity: ClientIdentity;
  lease: DatabaseLease;
}

function readSince({ query, headers }: FastifyRequest<ForChanges>): HlcText | undefined {
  const { sinceHLC = headers['x-since-hlc'] } = query;
  if (sinceHLC === undefined || sinceHLC === '') return undefined;
  const hlc = typeof sinceHLC === 'string' ? parseHlcParameter(sinceHLC) : undefined;
  if (hlc === undefined) {
    throw new SyncError('MESSAGE_ERROR', 'sinceHLC: must be 40 characters of base64');
  }
  return hlc;
}

function readLimit({ query }: FastifyRequest<ForChanges>): number | undefined {
  const { limit } = query;
  if (limit === undefined) return undefined;
  if (typeof limit !== 'string' || !/^[1-9][0-9]{0,8}$/.test(limit)) {
    throw new SyncError('MESSAGE_ERROR', 'limit: must be an integer from 1 to 999999999');
  }
  return Number(limit);
}

export default fp(
  async (app) => {
    const { coordinator: service, coordinatorConfig: config } = app;

    // Changes are decoded with their place in the input, for both transports alike.
    app.removeAllContentTypeParsers();
    const bodyLimit = config.limits.messageBytes;
    app.addContentTypeParser('*', { parseAs: 'string', bodyLimit }, (_request, body, done) =>
      done(null, body),
    );

    /** @param operation for the metrics */
    async function admit(request: FastifyRequest<ForDatabase>, operation: string): Promise<Client> {
      const { databaseId = DEFAULT_DATABASE_ID } = request.params;
      service.metrics.requests.inc({ transport: 'http', operation });
      service.checkDatabaseId(databaseId);
      const credentials = app.readCredentials(request, databaseId);
      const identity = await service.authenticate(credentials, request.signal);
      return { identity, lease: await service.acquire(databaseId) };
    }

    async function withClient<T>(
      request: FastifyRequest<ForDatabase>,
      operation: string,
      work: (identity: ClientIdentity, database: Database) => Promise<T>,
    ): Promise<T> {
      const { identity, lease } = await admit(request, operation);
      try {
        return await work(identity, lease);
      } finally {
        lease.release();
      }
    }

    async function getChanges(request: FastifyRequest<ForChanges>, reply: FastifyReply) {
      const sinceHLC = readSince(request);
      const limit = readLimit(request);
      const page = await withClient(request, 'get_changes', (identity, database) =>
        service
          .handleSync(identity, database, { sinceHLC, limit, signal: request.signal })
          .catch((error: unknown) => rethrow(error, 'GET_CHANGES_ERROR', 'could not be read')),
      );
      return reply.type('application/json').send(changesPageJson(page));
    }

    async function postChanges(request: FastifyRequest<ForDatabase>) {
      const result = await withClient(request, 'apply_changes', (identity, database) => {
        const changeSets = decodeApplyBody(readBody(request), config.limits.changesPerBatch);
        return service
          .handleApplyChanges(identity, database, changeSets)
          .catch((error: unknown) => rethrow(error, 'APPLY_CHANGES_ERROR', 'could not be stored'));
      });
      return { ok: true, data: result };
    }

    async function sendSnapshot(
      request: FastifyRequest<ForDatabase>,
      reply: FastifyReply,
      checkpoint: WireCheckpoint | undefined,
    ) {
      const operation = checkpoint === undefined ? 'get_snapshot' : 'resume_snapshot';
      const { identity, lease } = await admit(request, operation);
      try {
        const { signal } = request;
        const snapshot = await service.handleSnapshot(identity, lease, checkpoint, signal);
        const site = siteIdToText(identity.siteId);
        const lines = snapshotLines(snapshot.chunks, async () => {
          await service.noteSnapshotSent(lease, site, snapshot.position);
        });
        const stream = Readable.from(lines, { objectMode: false });
        // However it ends, and also if it never began.
        stream.once('close', () => {
          lease.release();
          snapshot.close().catch((error: unknown) => logger.error('snapshot: %O', error));
        });
        // A reader that takes nothing must not hold its view of the store for ever.
        reply.raw.setTimeout(config.limits.stalledMs, () => reply.raw.destroy());
        return reply.type('application/x-ndjson').send(stream);
      } catch (error) {
        lease.release();
        return rethrow(error, 'SNAPSHOT_ERROR', 'the snapshot could not be read');
      }
    }

    app.get('/status', async () => ({ ok: true, data: service.status() }));
    for (const prefix of ['', '/:databaseId']) {
      // Without HEAD, which would do all the work of GET and note down that it was sent.
      const exposeHeadRoute = false;
      app.get(`${prefix}/changes`, { exposeHeadRoute }, getChanges);
      app.post(`${prefix}/changes`, postChanges);
      app.post(`${prefix}/apply`, postChanges);
      app.get<ForDatabase>(`${prefix}/snapshot`, { exposeHeadRoute }, (request, reply) =>
        sendSnapshot(request, reply, undefined),
      );
      app.post<ForDatabase>(`${prefix}/snapshot`, (request, reply) =>
        sendSnapshot(request, reply, decodeCheckpointBody(readBody(request))),
      );
    }
  },
  {
    name: 'sync-coordinator-routes',
    fastify: '5.x',
    dependencies: [
      'sync-coordinator-config',
      'sync-coordinator-auth',
      'sync-coordinator-service',
      'sync-coordinator-errors',
    ],
  },
);

function readBody({ body }: FastifyRequest): string {
  if (typeof body !== 'string') throw new SyncError('MESSAGE_ERROR', 'a JSON body is required');
  return body;
}

function rethrow(
  error: unknown,
  ...fallback: [
    code: 'GET_CHANGES_ERROR' | 'APPLY_CHANGES_ERROR' | 'SNAPSHOT_ERROR',
    message: string,
  ]
): never {
  throw toSyncError(error, ...fallback);
}

/** One chunk a line. After the first byte a failure can only be told as the last line. */
async function* snapshotLines(
  chunks: AsyncIterable<string>,
  onSent: () => Promise<void>,
): AsyncGenerator<string> {
  try {
    for await (const chunk of chunks) yield `${chunk}\n`;
    await onSent();
  } catch (error) {
    const { code, message, cause } = toSyncError(
      error,
      'SNAPSHOT_ERROR',
      'the snapshot could not be read to its end',
    );
    logger.error('snapshot: %O', cause ?? error);
    yield `${JSON.stringify({ error: { code, message } })}\n`;
  }
}
