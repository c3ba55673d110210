/** A coordinator that listens: Fastify, the plugins, and an orderly end. */

import Fastify, { type FastifyInstance } from 'fastify';
import coordinator, { type CoordinatorParts } from '../plugins/coordinator.ts';
import { tellOrigin } from '../plugins/cors.ts';
import { answerNoRequest, fromFastify, sendError } from '../plugins/errors.ts';
import loopbackOnly from '../plugins/loopback-only.ts';
import pipelining from '../plugins/pipelining.ts';
import { closeBehindUpgrades, PlainUnlessWebSocket } from '../plugins/plain-upgrades.ts';
import refusedByNode from '../plugins/refused-by-node.ts';
import websocket from '../plugins/websocket.ts';
import { loadConfig } from './config/resolve-config.ts';
import type { CoordinatorConfig } from './config/schema.ts';
import type { World } from './engine/world.ts';
import { SyncError } from './errors/sync-error.ts';
import { HOOK_NAMES, type HookName } from './hooks/kinds.ts';
import { HookLoadError } from './hooks/load-error.ts';
import type { CodeHooks } from './hooks/loading/code-hooks.ts';
import { findCulprit } from './hooks/loading/stray-rejection.ts';
import { BoundedLog } from './logging/bounded-log.ts';
import { createLogger } from './logging/logger.ts';
import type { CoordinatorService } from './service/coordinator-service.ts';
import { limitConnections } from './sessions/connections.ts';
import { addressesOf, listenAlso } from './sessions/listen.ts';

export interface CoordinatorServerOptions {
  /** From `loadConfig()`, which is also what stands in for it. */
  config?: CoordinatorConfig;
  /** Hooks from code; they come after those that the config names. */
  hooks?: CodeHooks;
  /** Where the time and what is random come from. Default: the machine. */
  world?: World;
}

export interface CoordinatorDescription {
  storage: string;
  auth: CoordinatorConfig['auth']['mode'];
  hooks: { name: string; source: string; kinds: HookName[] }[];
}

export interface CoordinatorServer {
  /** The Fastify instance, for routes and plugins of your own. Add them before `start`. */
  app: FastifyInstance;
  service: CoordinatorService;
  config: CoordinatorConfig;
  /** Begins to listen. */
  start(): Promise<{ url: string; host: string; port: number }>;
  /** Lets running work finish, closes the sockets, and closes the stores. */
  stop(): Promise<void>;
  /**
   * Takes the hook modules, their options and the tokens of another configuration, without
   * closing a socket. Sessions stay; what has begun ends with the modules it began with. The
   * rest of the configuration is heeded at the next start. If it fails nothing changes.
   * @param config the other configuration, or what reads it
   * @throws HookLoadError, or what reading it throws
   */
  reload(config: CoordinatorConfig | (() => CoordinatorConfig)): Promise<void>;
  /**
   * Logs and counts a promise that was rejected and not handled, with the hook module that made it
   * if its stack tells. For the process's `unhandledRejection`.
   */
  noteStrayRejection(reason: unknown): void;
  describe(): CoordinatorDescription;
}

const logger = createLogger('sync-coordinator:server');
const strayFaults = new BoundedLog({
  logger: createLogger('sync-coordinator:hooks'),
  level: 'error',
  verb: 'were left behind',
});
/** Longer than a database id may be, percent-encoded. */
const PARAM_LENGTH_MAX = 512;

export async function createCoordinatorServer(
  options: CoordinatorServerOptions = {},
): Promise<CoordinatorServer> {
  const stray = HOOK_NAMES.find((hook) => hook in options);
  if (stray !== undefined) throw new HookLoadError(undefined, `${stray} belongs into hooks: { … }`);
  const { config = loadConfig(), hooks, world } = options;
  const { messageBytes, requestTimeoutMs, handshakeTimeoutMs } = config.limits;
  const headersTimeout = Math.min(handshakeTimeoutMs, requestTimeoutMs);
  const isForPages = config.cors.origin !== false;
  let parts: CoordinatorParts | undefined;
  const app = Fastify({
    bodyLimit: messageBytes,
    trustProxy: config.trustProxy,
    requestTimeout: requestTimeoutMs,
    http: {
      IncomingMessage: PlainUnlessWebSocket,
      requestTimeout: requestTimeoutMs,
      headersTimeout,
      // Refused by us, so that pages can read it.
      requireHostHeader: false,
      // Node.js looks every 30 s otherwise, and so would let slow ones stay for that much longer.
      connectionsCheckingInterval: Math.min(1000, Math.ceil(headersTimeout / 2)),
      // Who is gone without a word is found where nothing is sent, too, such as before the first request.
      keepAlive: true,
      keepAliveInitialDelay: config.limits.pingMs,
    },
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    forceCloseConnections: 'idle',
    // What is refused before there is a route is answered like everything else.
    frameworkErrors: (error, request, reply) => {
      tellOrigin(reply, config.cors, request);
      sendError(reply, fromFastify(error));
    },
    clientErrorHandler(error, socket) {
      const told = answerNoRequest(error, socket, isForPages);
      if (told !== undefined) parts?.service.metrics.errorSent(told);
    },
    // A request that comes while it stops is answered by the coordinator, in its own words.
    return503OnClosing: false,
    // A store may take its time to recover, and a hook module to set itself up.
    pluginTimeout: 0,
  });
  closeBehindUpgrades(app.server);
  // Bodies are read by those who want them: Fastify would have them parsed for what no route asks for, too.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _body, done) => done(null));
  // At the root the coordinator answers for all paths itself.
  if (config.basePath !== '') {
    app.setNotFoundHandler((request, reply) => {
      tellOrigin(reply, config.cors, request);
      return sendError(reply, new SyncError('NOT_FOUND', 'there is no such route'));
    });
  }
  try {
    await app.register(pipelining, {
      limits: config.limits,
      onLimit: () => parts?.service.metrics.limitMet('limits.pipelinedRequests'),
      isWholeApp: true,
    });
    // For the whole app, so that upgrades outside the base path are closed as well.
    const { limits, compression } = config;
    await app.register(websocket, { limits, compression, isForPages, isWholeApp: true });
    await app.register(refusedByNode, {
      onRefusal(error, request, reply) {
        tellOrigin(reply, config.cors, request);
        parts?.service.metrics.errorSent(error);
      },
    });
    await app.register(loopbackOnly, {
      config,
      onRefusal: (error) => parts?.service.metrics.errorSent(error),
    });
    await app.register(coordinator, {
      prefix: config.basePath,
      config,
      hooks,
      world,
      onReady: (ready) => {
        parts = ready;
      },
    });
  } catch (error) {
    await app.close();
    throw error;
  }
  if (parts === undefined) throw new Error('the coordinator was not set up');
  const { service, storage, hooks: host } = parts;
  cutAfterDeadline(app, config.limits.shutdownMs);
  const { sharePerUser } = config.limits;
  const limits = { connections: service.connectionsMax, sharePerUser };
  limitConnections(app.server, limits, service.metrics.limitMet);

  let stopOthers = async () => {};
  let othersStopped = Promise.resolve();
  app.addHook('preClose', async () => {
    othersStopped = stopOthers();
  });

  return {
    app,
    service,
    config,
    async start() {
      const [host, ...others] = await addressesOf(config.host);
      const url = await app.listen({ host, port: config.port });
      const address = app.server.address();
      const port = typeof address === 'object' && address !== null ? address.port : config.port;
      stopOthers = await listenAlso(app.server, others, { port, logger });
      logger('listening on %s', url);
      return { url, host: config.host, port };
    },
    async stop() {
      await app.close();
      await othersStopped;
      strayFaults.flush();
      logger('stopped');
    },
    async reload(read) {
      const { hookReloads } = service.metrics;
      try {
        await host.reload(typeof read === 'function' ? read() : read);
      } catch (error) {
        hookReloads.inc({ outcome: 'failed' });
        throw error;
      }
      hookReloads.inc({ outcome: 'ok' });
      service
        .hooksChanged()
        .catch((error: unknown) => logger.error('sessions could not be asked about: %O', error));
      logger('the hooks are loaded anew: %d modules', host.modules.length);
    },
    noteStrayRejection(reason) {
      const module = findCulprit(reason, host.modules) ?? 'unknown';
      service.metrics.strayRejections.inc({ module });
      const what = `${module}: a promise rejected, and nobody waited for it`;
      strayFaults.addError(`${module}: promises`, undefined, reason, what);
    },
    describe: () => ({
      storage,
      auth: config.auth.mode,
      hooks: host.modules.map((module) => ({
        name: module.name,
        source: module.source,
        kinds: HOOK_NAMES.filter((hook) => module.hooks[hook] !== undefined),
      })),
    }),
  };
}

/** A peer that neither finishes its request nor goes away must not hold up the end. */
function cutAfterDeadline(app: FastifyInstance, deadlineMs: number): void {
  app.addHook('preClose', async () => {
    setTimeout(() => app.server.closeAllConnections(), deadlineMs).unref();
  });
}
