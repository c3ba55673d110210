/** What the tests of the service share: a storage that is watched. */

import { EventEmitter, once } from 'node:events';
import { loadConfig } from '../../src/config/resolve-config.ts';
import type { CoordinatorConfig, CoordinatorConfigInput } from '../../src/config/schema.ts';
import { createHookChain } from '../../src/hooks/chain/chain.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { BoundedLog } from '../../src/logging/bounded-log.ts';
import { CoordinatorService } from '../../src/service/coordinator-service.ts';
import { DatabasePool } from '../../src/service/databases/database-pool.ts';
import type { KVStore, Storage } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { createTestWorld } from '../support/world.ts';

export function testConfig(overrides: CoordinatorConfigInput = {}): CoordinatorConfig {
  return loadConfig({ cwd: import.meta.dirname, env: {}, overrides });
}

/** Nothing is logged: what a test wants to know it sees by what happens. */
export const quiet = Object.assign(() => undefined, {
  warn: () => undefined,
  error: () => undefined,
});

type Step = (databaseId: string) => Promise<void> | void;

/** A storage in memory that says what becomes of it, and lets a test step in. */
export class WatchedStorage implements Storage {
  readonly description = 'watched';
  /** `open a`, `close a`, in their order. */
  readonly events: string[] = [];
  /** Run before each step; throwing makes it fail. */
  beforeOpen: Step = () => undefined;
  beforeClose: Step = () => undefined;
  beforeCommit: Step = () => undefined;
  /** See `KVStore`; of those that are opened from then on. */
  recovers = false;
  readonly #inner = createMemoryStorage();
  readonly #emitter = new EventEmitter();

  async open(databaseId: string): Promise<KVStore> {
    await this.beforeOpen(databaseId);
    this.events.push(`open ${databaseId}`);
    const store = await this.#inner.open(databaseId);
    return {
      ...store,
      recovers: this.recovers,
      exclusive: async (work) => {
        await this.beforeCommit(databaseId);
        return store.exclusive(work);
      },
      close: async () => {
        await this.beforeClose(databaseId);
        await store.close();
        this.events.push(`close ${databaseId}`);
        this.#emitter.emit(`close ${databaseId}`);
      },
    };
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /** The next time that a database has been closed. */
  async closed(databaseId: string): Promise<void> {
    await once(this.#emitter, `close ${databaseId}`);
  }
}

export interface TestPool {
  pool: DatabasePool;
  storage: WatchedStorage;
}

export function createTestPool(
  storageOptions: CoordinatorConfigInput['storage'] = {},
  limits: CoordinatorConfigInput['limits'] = {},
  storage = new WatchedStorage(),
): TestPool {
  const config = testConfig({ storage: storageOptions, limits });
  const world = createTestWorld(Date.now());
  return {
    pool: new DatabasePool({
      storage,
      config,
      world,
      logger: quiet,
      onLimit: () => undefined,
      faults: new BoundedLog({ logger: quiet, level: 'error', verb: 'failed' }),
      logPins: { renew: async () => undefined },
      pushed: () => undefined,
    }),
    storage,
  };
}

export interface TestService {
  service: CoordinatorService;
  storage: WatchedStorage;
}

export function createTestService(
  t: { after(fn: () => unknown): void },
  hooks: CoordinatorHooks = {},
): TestService {
  const storage = new WatchedStorage();
  const chain = createHookChain([{ name: 'test', hooks }], { timeoutMs: 5000 });
  const config = testConfig();
  const world = createTestWorld(Date.now());
  const service = new CoordinatorService({ config, storage, hooks: chain, world, version: '0' });
  t.after(() => service.stop(1000));
  return { service, storage };
}
