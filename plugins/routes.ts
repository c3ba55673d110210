/**
 * The HTTP routes for sync, each with and without a database id. Only `src/wire` decodes bodies.
 */

import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { type HlcText, parseHlcParameter } from '../src/clock/hlc.ts';
import { letGoOfEach } from '../src/engine/records/let-go.ts';
import { isClientGone } from '../src/errors/client-gone.ts';
import { SyncError, toSyncError } from '../src/errors/sync-error.ts';
import { sourceOf } from '../src/hooks/client-source.ts';
import type { WireCheckpoint } from '../src/protocol/schemas.ts';
import { readyAnswer } from '../src/service/apply/answer.ts';
import { BatchLine } from '../src/service/apply/batch-line.ts';
import type { PageMemory } from '../src/service/budgets/page-reads.ts';
import { RowRoom } from '../src/service/budgets/row-room.ts';
import { appliedJson, blocksWhile, changesPageJson } from '../src/service/delivery/frames.ts';
import type { ServedSnapshot } from '../src/service/delivery/served-snapshots.ts';
import { streamOf } from '../src/service/http/stream-of.ts';
import { applyAnswer } from '../src/wire/apply-answer.ts';
import { decodeApplyBody, decodeCheckpointBody } from '../src/wire/decode.ts';
import { runInSteps } from '../src/wire/steps.ts';
import { AnswerStream } from './answer-stream.ts';
import { admitClient, type HttpClient, onceClosed } from './http-client.ts';
import { RequestRoom } from './request-room.ts';

const DEFAULT_DATABASE_ID = 'default';
/** As Fastify says it for objects. */
const JSON_TYPE = 'application/json; charset=utf-8';
/** The answer to a batch is counted from this length on. */
const SHORT_ANSWER_BYTES = 64 * 1024;

declare module 'fastify' {
  interface FastifyRequest {
    syncClient: HttpClient | null;
    bodyRoom: RequestRoom | null;
  }
}

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

    // Bodies are kept as bytes: `src/wire` decodes them for both transports, and reports places of
    // faults.
    app.removeAllContentTypeParsers();
    const bodyLimit = config.limits.messageBytes;
    app.addContentTypeParser('*', async ({ bodyRoom }: FastifyRequest, stream: Readable) =>
      bodyRoom?.read(stream),
    );

    app.decorateRequest('syncClient', null);
    app.decorateRequest('bodyRoom', null);

    /** Admits the client, before a byte of the body is read. */
    const admit =
      (operation: string) => async (request: FastifyRequest<ForDatabase>, reply: FastifyReply) => {
        const { databaseId = DEFAULT_DATABASE_ID } = request.params;
        service.metrics.requests.http.inc(operation);
        request.syncClient = await admitClient(app, request, reply, databaseId);
      };

    /** The body is read as there is room for it. */
    const makeRoom = async (request: FastifyRequest, reply: FastifyReply) => {
      const { holder } = clientOf(request);
      const { headers } = request;
      const budget = service.memory.arrived;
      request.bodyRoom = new RequestRoom({ budget, holder, headers, bytesMax: bodyLimit, reply });
    };

    // A reader that takes nothing must not hold its answer for ever.
    app.addHook('onSend', async (_request, reply) => {
      reply.raw.setTimeout(config.limits.stalledMs, () => {
        service.metrics.limitMet('limits.stalledMs');
        reply.raw.destroy();
      });
    });

    async function getChanges(request: FastifyRequest<ForChanges>, reply: FastifyReply) {
      const client = clientOf(request);
      const { databaseId, holder, signal, demandValid } = client;
      await demandValid();
      const query = {
        sinceHLC: readSince(request),
        limit: readLimit(request),
        signal,
      };
      const read = async (memory: PageMemory) => {
        signal.throwIfAborted();
        const page = await service.withAccess(
          databaseId,
          (access) => service.delivery.changes(client.reader, access, { ...query, memory }),
          holder,
        );
        return { ...changesPageJson(page), holds: page.holds };
      };
      const answer = new AnswerStream(request, reply);
      for (;;) {
        const [page, taken] = await service.memory
          .answer(holder, read, answer, answer.encoderBytes)
          .catch((error: unknown) => {
            throw toSyncError(error, 'GET_CHANGES_ERROR', 'the changes could not be read');
          });
        const mayGoOn = async () => {
          await demandValid();
          return page.holds();
        };
        const isSent = await mayGoOn().catch((error: unknown) => {
          taken();
          throw error;
        });
        if (isSent) {
          onceClosed(reply, taken);
          const blocks = Readable.from(blocksWhile(mayGoOn, page), { objectMode: false });
          return answer.send(blocks, 'application/json', page.length);
        }
        // Nothing of it has been sent: read it again for the present identity.
        taken();
      }
    }

    async function postChanges(request: FastifyRequest, reply: FastifyReply) {
      const client = clientOf(request);
      const { databaseId, holder, signal, demandValid } = client;
      await demandValid();
      const body = readBody(request);
      const answer = new AnswerStream(request, reply);
      const work = async () => {
        const changeSets = await runInSteps(decodeApplyBody(body, config.limits), service.turn);
        await demandValid();
        const applied = await service.withAccess(
          databaseId,
          (access) =>
            service.handleApplyChanges(client.identity, access, changeSets, {
              line: new BatchLine(client.reader, service.clients),
              signal,
            }),
          holder,
        );
        const ready = await readyAnswer(applied, async (it) => appliedJson(await applyAnswer(it)));
        const { made: json } = ready;
        // While it waits, there is the memory for its work.
        if (json.length > SHORT_ANSWER_BYTES) {
          onceClosed(reply, await service.memory.made(holder, json, answer, answer.encoderBytes));
        }
        return ready;
      };
      const { made: json, mayGoOn } = await service.memory
        .work(holder, Buffer.isBuffer(request.body) ? request.body.length : 0, work)
        .catch((error: unknown) => {
          throw toSyncError(error, 'APPLY_CHANGES_ERROR', 'the changes could not be stored');
        });
      if (json.length <= SHORT_ANSWER_BYTES) {
        return reply.type(JSON_TYPE).send(Buffer.concat([...json.blocks()]));
      }
      const parts = mayGoOn === undefined ? json.blocks() : blocksWhile(mayGoOn, json);
      const blocks = Readable.from(parts, { objectMode: false });
      return answer.send(blocks, JSON_TYPE, json.length);
    }

    const getSnapshot = (request: FastifyRequest, reply: FastifyReply) =>
      sendSnapshot(request, reply);
    const postSnapshot = async (request: FastifyRequest, reply: FastifyReply) => {
      const steps = decodeCheckpointBody(readBody(request), config.limits);
      return sendSnapshot(request, reply, await runInSteps(steps, service.turn));
    };

    async function sendSnapshot(
      request: FastifyRequest,
      reply: FastifyReply,
      checkpoint?: WireCheckpoint,
    ) {
      const client = clientOf(request);
      const { databaseId, holder, signal, demandValid } = client;
      await demandValid();
      const answer = new AnswerStream(request, reply);
      const room = await RowRoom.open({
        reserve: (bytes) => service.memory.answers.reserve(holder, bytes, answer),
        use: service.hooks.has.onBeforeSendChanges ? 'parsed' : 'copied',
        besides: answer.encoderBytes,
        drained: () => answer.drained(),
        inTurn: service.memory.rowReads,
      });
      const access = service.access(databaseId, holder);
      try {
        const snapshot = await service.delivery.snapshots.open(client.reader, access, {
          checkpoint,
          signal,
          queuedBytes: () => answer.queuedBytes,
          memory: room.memory,
        });
        const { ip: remoteAddress, headers } = request;
        const source = sourceOf({ remoteAddress, headers });
        const failed = (error: unknown) => {
          if (!isClientGone(error)) app.httpFaults.addError('snapshot', source, error);
        };
        const lines = snapshotLines(snapshot, demandValid, failed);
        const stream = streamOf(lines);
        // On every end, even if nothing was sent.
        stream.once('close', () => {
          access.release();
          onceClosed(reply, room.give);
          snapshot.close().catch(failed);
        });
        return answer.send(stream, 'application/x-ndjson');
      } catch (error) {
        access.release();
        room.give();
        throw toSyncError(error, 'SNAPSHOT_ERROR', 'the snapshot could not be read');
      }
    }

    for (const prefix of ['', '/:databaseId']) {
      // Without HEAD, which would do all the work of GET and count the snapshot as sent.
      const exposeHeadRoute = false;
      const [reads, writes] = [admit('get_changes'), admit('apply_changes')];
      const [snapshots, resumes] = [admit('get_snapshot'), admit('resume_snapshot')];
      app.get(`${prefix}/changes`, { exposeHeadRoute, onRequest: reads }, getChanges);
      app.post(`${prefix}/changes`, { onRequest: writes, preParsing: makeRoom }, postChanges);
      app.post(`${prefix}/apply`, { onRequest: writes, preParsing: makeRoom }, postChanges);
      app.get(`${prefix}/snapshot`, { exposeHeadRoute, onRequest: snapshots }, getSnapshot);
      app.post(`${prefix}/snapshot`, { onRequest: resumes, preParsing: makeRoom }, postSnapshot);
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

/** The client that `admit` has found. Its `demandValid` says whether it may still be served. */
function clientOf({ syncClient }: FastifyRequest): HttpClient {
  if (syncClient === null) throw new Error('the route admits nobody');
  return syncClient;
}

const BYTE_ORDER_MARK = Buffer.of(0xef, 0xbb, 0xbf);

function readBody({ body }: FastifyRequest): Buffer {
  if (!Buffer.isBuffer(body)) throw new SyncError('MESSAGE_ERROR', 'a JSON body is required');
  // Bytes that are not UTF-8 would be stored as other bytes.
  if (!isUtf8(body)) throw new SyncError('MESSAGE_ERROR', 'the body is not valid UTF-8');
  const hasMark = body.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  return hasMark ? body.subarray(BYTE_ORDER_MARK.length) : body;
}

/** One chunk a line. After the first byte a failure can only be sent as the last line. */
const NEWLINE = Buffer.from('\n');

function snapshotLines(
  { chunks, noteSent }: ServedSnapshot,
  demandValid: () => Promise<void>,
  failed: (error: unknown) => void,
): AsyncIterable<string | Uint8Array> {
  const toLine = async function* (chunk: Uint8Array): AsyncGenerator<string | Uint8Array> {
    await demandValid();
    yield Buffer.concat([chunk, NEWLINE]);
  };
  return letGoOfEach(chunks, toLine, {
    ended: noteSent,
    failed: (error) => {
      const { code, message, cause } = toSyncError(
        error,
        'SNAPSHOT_ERROR',
        'the snapshot could not be read to its end',
      );
      failed(cause ?? error);
      return `${JSON.stringify({ error: { code, message } })}\n`;
    },
  });
}
