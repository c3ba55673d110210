/** Makes the Fastify app that serves the routes of one hook module. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { SyncError } from '../src/errors/sync-error.ts';
import type { RouteTools, ServeRoutes } from '../src/hooks/module-extras.ts';
import { holderOf } from '../src/service/budgets/budget.ts';
import { answerErrors } from './errors.ts';
import { admitClient, type HttpClient } from './http-client.ts';
import { hasBody, RequestRoom } from './request-room.ts';

const DEFAULT_DATABASE_ID = 'default';
/** The longest body of a request; a route may set another limit. */
const BODY_BYTES_MAX = 1024 * 1024;

/** @param app the coordinator's app; it is fully set up when the first request comes */
export function serveModuleRoutes(app: FastifyInstance): ServeRoutes {
  const { coordinatorConfig: config, coordinatorMetrics: metrics } = app;
  return async (path, routes) => {
    const own = Fastify({ bodyLimit: BODY_BYTES_MAX, trustProxy: config.trustProxy });
    const clients = new WeakMap<IncomingMessage, HttpClient>();
    const running = new Running();
    const tools: RouteTools = {
      clientOf({ raw }) {
        const client = clients.get(raw);
        if (client === undefined) throw new Error('the route is open: nobody was asked who it is');
        return client.identity;
      },
    };

    answerErrors(own, metrics.errorSent, app.httpFaults);
    own.addHook('onRequest', async (_request, reply) => running.add(reply.raw));
    // Before its body would be parsed, which nobody has counted.
    own.addHook('onRequest', (request, reply, done) => {
      if (request.is404) reply.callNotFound();
      else done();
    });
    // A reader that takes nothing must not hold its answer for ever.
    own.addHook('onSend', async (_request, reply) => {
      reply.raw.setTimeout(config.limits.stalledMs, () => {
        metrics.limitMet('limits.stalledMs');
        reply.raw.destroy();
      });
    });

    for (const { register, isOpen } of routes) {
      const prefix = `${app.prefix}/hooks/${path}`;
      const scoped = async (scope: FastifyInstance) => {
        if (!isOpen) {
          scope.addHook('onRequest', async (request, reply) => {
            const databaseId = databaseOf(request);
            clients.set(request.raw, await admitClient(app, request, reply, databaseId));
          });
        }
        // A body is read as there is room for it.
        scope.addHook('preParsing', async (request, reply, payload) => {
          const { headers } = request;
          if (!hasBody(headers)) return payload;
          const { arrived, strangers } = app.coordinator.memory;
          const client = clients.get(request.raw);
          const budget = client === undefined ? strangers : arrived;
          const holder = client?.holder ?? holderOf({}, request.ip);
          const { bodyLimit: bytesMax = BODY_BYTES_MAX } = request.routeOptions;
          const room = new RequestRoom({ budget, holder, headers, bytesMax, reply });
          if (!room.isEncoded) return room.counted(payload as Readable);
          const body = await room.read(payload as Readable);
          // The route gets a body that is decoded already, and its length.
          delete headers['content-encoding'];
          headers['content-length'] = String(body.length);
          return Readable.from([body], { objectMode: false });
        });
        scope.addHook('preHandler', async ({ raw }) => clients.get(raw)?.demandValid());
        await register(scope, tools);
      };
      own.register(scoped, { prefix });
    }
    await own.ready();

    return {
      path,
      handle: (request, response) => own.routing(request, response),
      async close() {
        await running.settled(config.limits.shutdownMs);
        await own.close();
      },
    };
  };
}

/** Requests without an answer. */
class Running {
  readonly #open = new Set<ServerResponse>();
  #settle = () => {};

  add(response: ServerResponse): void {
    this.#open.add(response);
    response.once('close', () => {
      this.#open.delete(response);
      if (this.#open.size === 0) this.#settle();
    });
  }

  /** Waits for them, and cuts off those that are left after `deadlineMs`. */
  async settled(deadlineMs: number): Promise<void> {
    if (this.#open.size === 0) return;
    const cut = setTimeout(() => {
      for (const response of this.#open) response.destroy();
    }, deadlineMs);
    await new Promise<void>((resolve) => {
      this.#settle = resolve;
    });
    clearTimeout(cut);
  }
}

function databaseOf({ query }: FastifyRequest): string {
  const { databaseId = DEFAULT_DATABASE_ID } = query as { databaseId?: unknown };
  if (typeof databaseId === 'string') return databaseId;
  throw new SyncError('INVALID_DATABASE_ID', 'databaseId: must be given once');
}
