/** The HTTP routes, each with and without a database. Bodies are decoded by `src/wire` alone. */

import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { type HlcText, parseHlcParameter } from '../src/clock/hlc.ts';
import { siteIdToText } from '../src/clock/site-id.ts';
import { SyncError, toSyncError } from '../src/errors.ts';
import type { ClientIdentity } from '../src/hooks/types.ts';
import { createLogger } from '../src/logger.ts';
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

    /**
     * Who asks, and for which database. Only then is the rest of the request looked at.
     * @param operation for the metrics
     */
    async function admit(
      request: FastifyRequest<ForDatabase>,
      operation: string,
    ): Promise<ClientIdentity & { databaseId: string }> {
      const { databaseId = DEFAULT_DATABASE_ID } = request.params;
      service.metrics.requests.inc({ transport: 'http', operation });
      service.checkDatabaseId(databaseId);
      const credentials = app.readCredentials(request, databaseId);
      return { ...(await service.authenticate(credentials, request.signal)), databaseId };
    }

    async function getChanges(request: FastifyRequest<ForChanges>, reply: FastifyReply) {
      const client = await admit(request, 'get_changes');
      const query = {
        sinceHLC: readSince(request),
        limit: readLimit(request),
        signal: request.signal,
      };
      const page = await service
        .withAccess(client.databaseId, (access) => service.handleSync(client, access, query))
        .catch((error: unknown) => {
          throw toSyncError(error, 'GET_CHANGES_ERROR', 'the changes could not be read');
        });
      return reply.type('application/json').send(changesPageJson(page));
    }

    async function postChanges(request: FastifyRequest<ForDatabase>) {
      const client = await admit(request, 'apply_changes');
      const changeSets = decodeApplyBody(readBody(request), config.limits.changesPerBatch);
      const data = await service
        .withAccess(client.databaseId, (access) =>
          service.handleApplyChanges(client, access, changeSets),
        )
        .catch((error: unknown) => {
          throw toSyncError(error, 'APPLY_CHANGES_ERROR', 'the changes could not be stored');
        });
      return { ok: true, data };
    }

    async function getSnapshot(request: FastifyRequest<ForDatabase>, reply: FastifyReply) {
      const client = await admit(request, 'get_snapshot');
      return sendSnapshot(client, request, reply);
    }

    async function postSnapshot(request: FastifyRequest<ForDatabase>, reply: FastifyReply) {
      const client = await admit(request, 'resume_snapshot');
      return sendSnapshot(client, request, reply, decodeCheckpointBody(readBody(request)));
    }

    async function sendSnapshot(
      client: ClientIdentity & { databaseId: string },
      { signal }: FastifyRequest,
      reply: FastifyReply,
      checkpoint?: WireCheckpoint,
    ) {
      const access = service.access(client.databaseId);
      try {
        const snapshot = await service.handleSnapshot(client, access, checkpoint, signal);
        const site = siteIdToText(client.siteId);
        const lines = snapshotLines(snapshot.chunks, () =>
          service.noteSnapshotSent(access, site, snapshot.position),
        );
        const stream = Readable.from(lines, { objectMode: false });
        // However it ends, and also if it never began.
        stream.once('close', () => {
          access.release();
          snapshot.close().catch((error: unknown) => logger.error('snapshot: %O', error));
        });
        // A reader that takes nothing must not hold its view of the store for ever.
        reply.raw.setTimeout(config.limits.stalledMs, () => reply.raw.destroy());
        return reply.type('application/x-ndjson').send(stream);
      } catch (error) {
        access.release();
        throw toSyncError(error, 'SNAPSHOT_ERROR', 'the snapshot could not be read');
      }
    }

    app.get('/status', async () => ({ ok: true, data: service.status() }));
    for (const prefix of ['', '/:databaseId']) {
      // Without HEAD, which would do all the work of GET and note down that it was sent.
      const exposeHeadRoute = false;
      app.get(`${prefix}/changes`, { exposeHeadRoute }, getChanges);
      app.post(`${prefix}/changes`, postChanges);
      app.post(`${prefix}/apply`, postChanges);
      app.get(`${prefix}/snapshot`, { exposeHeadRoute }, getSnapshot);
      app.post(`${prefix}/snapshot`, postSnapshot);
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
