/**
 * The parts of the service, each made with what it needs of the others; and what is measured of them.
 */

import type { CoordinatorConfig } from '../config/schema.ts';
import type { World } from '../engine/world.ts';
import type { HookChain } from '../hooks/chain/chain.ts';
import { BoundedLog } from '../logging/bounded-log.ts';
import { createLogger } from '../logging/logger.ts';
import { createMetrics, type Metrics } from '../metrics/metrics.ts';
import { exposeStore } from '../metrics/store-metrics.ts';
import type { Storage } from '../storage/kv-store.ts';
import { Clients } from './access/clients.ts';
import { Admission } from './admission/admission.ts';
import { PendingHandshakes } from './admission/pending-handshakes.ts';
import { RefusalLog } from './admission/refusal-log.ts';
import { ApplyPipeline } from './apply/apply-pipeline.ts';
import { databaseFigures } from './databases/database-figures.ts';
import { DatabasePool } from './databases/database-pool.ts';
import { LogPinKeeper } from './databases/log-pins.ts';
import { connectionsThatFit, openFilesMax } from './databases/open-files.ts';
import { StoreWatch } from './databases/store-watch.ts';
import { Delivery } from './delivery/delivery.ts';
import { MessageDeflater } from './delivery/message-deflater.ts';
import { StartingOver } from './delivery/starting-over.ts';
import { MemoryBudgets } from './memory-budgets.ts';
import { Sessions } from './sessions.ts';

export interface ServiceOptions {
  config: CoordinatorConfig;
  storage: Storage;
  hooks: HookChain;
  world: World;
  /** For `/status`. */
  version: string;
  metrics?: Metrics;
  refusals?: RefusalLog;
}

export class ServiceParts {
  readonly metrics: Metrics;
  readonly logger = createLogger('sync-coordinator:service');
  /** Failures while messages were served. */
  readonly faults = new BoundedLog({ logger: this.logger, level: 'error', verb: 'failed' });
  protected readonly options: ServiceOptions;
  protected readonly pool: DatabasePool;
  /** Log pins of the hook modules that read logs. */
  readonly logPins: LogPinKeeper;
  /** The sessions of all databases. */
  readonly sessions: Sessions;
  /** The way of a batch. */
  readonly batches: ApplyPipeline;
  /** Who has to take a snapshot. */
  readonly startingOver: StartingOver;
  /** The read path. */
  readonly delivery: Delivery;
  /** Decides which clients may come, and which may stay. */
  readonly admission: Admission;
  /** Sockets without a handshake. */
  readonly pendingHandshakes: PendingHandshakes;
  /** `limits.connections`, or fewer if this process may not open so many files. */
  readonly connectionsMax: number;
  /** Sessions, and HTTP requests that are being served. */
  readonly clients: Clients;
  /** Budgets for messages and answers under way. */
  readonly memory: MemoryBudgets;
  readonly deflater = new MessageDeflater();
  protected readonly store: StoreWatch;
  /** Sockets, with or without a session. The transport sets it. */
  connections = 0;
  /** Bytes queued on sockets. The transport sets it. */
  queuedBytes: () => number = () => 0;

  constructor(options: ServiceOptions) {
    this.options = options;
    const { config, storage, world, hooks } = options;
    const { logger, faults } = this;
    this.metrics = options.metrics ?? createMetrics();
    const { metrics } = this;
    this.logPins = new LogPinKeeper({
      acquire: (id) => this.pool.acquire(id),
      isShared: storage.isShared ?? false,
      maxAgeMs: config.sync.logPinMaxAgeMs,
      logger,
    });
    const { logPins } = this;
    const pushed = (changeSets: number) => metrics.changesPushed.inc(changeSets);
    const onLimit = metrics.limitMet;
    this.pool = new DatabasePool({
      ...{ storage, config, world, logger, faults, logPins, pushed, onLimit },
    });
    this.clients = new Clients(() => world.now());
    const { sessions: max, sharePerUser } = config.limits;
    this.sessions = new Sessions({ max, sharePerUser, hooks, onLimit });
    const { clients, sessions } = this;
    const { refusals = new RefusalLog() } = options;
    this.admission = new Admission({
      ...{ hooks, clients, sessions, refusals, logger },
      failedLoginsPerMinute: config.limits.failedLoginsPerMinute,
      reauthorizeMs: config.hooks.reauthorizeMs,
      now: () => world.now(),
    });
    const { rights } = this.admission;
    this.memory = new MemoryBudgets(config.limits, onLimit);
    this.startingOver = new StartingOver(sessions);
    const { startingOver } = this;
    this.delivery = new Delivery({ hooks, config, rights, startingOver, onLimit });
    this.batches = new ApplyPipeline({
      ...{ hooks, rights, clients },
      onReject: config.hooks.onReject,
      foreignAuthors: config.sync.foreignAuthors,
      hookMemory: (holder) => this.memory.hookMemory(holder),
      onFull: (databaseId, full, sender) => {
        for (const { site, limit } of full) {
          metrics.limitMet(limit);
          if (site !== sender) startingOver.endFull(databaseId, site);
        }
      },
    });
    this.connectionsMax = connectionsThatFit({
      wanted: config.limits.connections,
      databaseFiles: this.pool.filesMax,
      filesMax: openFilesMax(),
      logger,
    });
    const { unauthenticatedSockets } = config.limits;
    // Half of the connections at most, so that sockets without a handshake leave room for sessions.
    const pendingMax = Math.min(unauthenticatedSockets, Math.ceil(this.connectionsMax / 2));
    this.pendingHandshakes = new PendingHandshakes({
      ...config.limits,
      unauthenticatedSockets: pendingMax,
    });
    const { health } = storage;
    this.store = new StoreWatch({ health, now: () => world.now(), logger });
    this.#exposeMetrics();
  }

  #exposeMetrics(): void {
    const { world, storage } = this.options;
    this.metrics.expose(
      { ...this.#gauges(), ...databaseFigures(this.pool, world) },
      {
        changes: this.batches.counts.changes,
        applySeconds: this.batches.counts.seconds,
        batchSizes: this.batches.counts.batchSizes,
        querySeconds: this.delivery.querySeconds,
        maintenance: this.pool.maintenanceCounts,
        snapshots: this.delivery.snapshots.counts,
        logins: this.admission.loginCounts,
        sharedSites: () => this.sessions.sharedSites.count,
      },
    );
    const { health } = storage;
    if (health === undefined) return;
    exposeStore(this.metrics.registry, {
      isUp: async () => (await this.store.ask()) === undefined,
      figures: () => health.figures(),
    });
  }

  #gauges() {
    return {
      connections: () => this.connections,
      socketsUnauthenticated: () => this.pendingHandshakes.size,
      sessions: () => this.sessions.size,
      openStores: () => this.pool.size,
      catalogBytes: () => this.pool.catalogBytes,
      queuedBytes: () => this.queuedBytes() + this.memory.httpBytes,
      snapshotStreams: () => this.delivery.snapshots.size,
    };
  }

  get config(): CoordinatorConfig {
    return this.options.config;
  }

  /** Yields to other work during a long computation. */
  readonly turn = (): Promise<void> => this.options.world.yield();

  get hooks(): HookChain {
    return this.options.hooks;
  }
}
