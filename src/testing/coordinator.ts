/** Starts a coordinator for a test: on a free port, and in memory by default. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadConfig } from '../config/resolve-config.ts';
import type { CoordinatorConfigInput } from '../config/schema.ts';
import type { CodeHooks } from '../hooks/loading/code-hooks.ts';
import type { HookEntry, PlacedHooks } from '../hooks/loading/hook-entry.ts';
import { isFileSpecifier } from '../modules/import-module.ts';
import { type CoordinatorServer, createCoordinatorServer } from '../server.ts';
import { clockToWorld, createClock, type TestClock } from './clock.ts';
import { SimulatedDevice, type SimulatedDeviceOptions } from './simulated-device.ts';

/** Runs the clean-up: the context of a `node:test` test, or another object with this method. */
export interface TestOwner {
  after(work: () => unknown): void;
}

export interface StartOptions {
  /**
   * As in a configuration file. Paths of hook modules are relative to the working directory.
   * Configuration files and environment variables of the machine are ignored.
   */
  config?: CoordinatorConfigInput;
  /** Hooks from code, which run after those of `config`. */
  hooks?: CodeHooks;
}

export interface TestCoordinator extends CoordinatorServer {
  /** `http://127.0.0.1:<port>/sync` */
  httpUrl: string;
  /** `ws://127.0.0.1:<port>/sync/ws` */
  wsUrl: string;
  /** The clock of the coordinator and its devices. */
  clock: TestClock;
  /** Makes a connected device. Rejects if it is not let in. */
  device(options?: SimulatedDeviceOptions): Promise<SimulatedDevice>;
}

/** Starts a coordinator, which stops when the test ends. */
export async function startCoordinator(
  owner: TestOwner,
  { config = {}, hooks }: StartOptions = {},
): Promise<TestCoordinator> {
  const directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-'));
  const clock = createClock();
  const defaults = { host: '127.0.0.1', port: 0, storage: 'memory:', dataDir: directory };
  const overrides = { ...defaults, ...config, ...withAbsoluteHooks(config) };
  const loaded = loadConfig({ cwd: directory, env: {}, overrides });
  const server = await createCoordinatorServer({
    config: loaded,
    hooks,
    world: clockToWorld(clock),
  }).catch((error: unknown) => {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  });
  const devices = new Set<SimulatedDevice>();
  owner.after(async () => {
    for (const device of devices) device.destroy();
    await server.stop();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  });
  const { port } = await server.start();
  const { basePath } = loaded;
  const wsUrl = `ws://127.0.0.1:${port}${basePath}/ws`;
  return {
    ...server,
    httpUrl: `http://127.0.0.1:${port}${basePath}`,
    wsUrl,
    clock,
    async device(options = {}) {
      const device = new SimulatedDevice(wsUrl, clock, options);
      devices.add(device);
      await device.comeBack();
      return device;
    },
  };
}

function withAbsoluteHooks({
  hooks = [],
}: CoordinatorConfigInput): Pick<CoordinatorConfigInput, 'hooks'> {
  if (!isList(hooks)) return { hooks: { ...hooks, modules: hooks.modules?.map(withAbsolutePath) } };
  return { hooks: hooks.map(withAbsolutePath) };
}

function isList(
  hooks: NonNullable<CoordinatorConfigInput['hooks']>,
): hooks is readonly HookEntry[] {
  return Array.isArray(hooks);
}

function withAbsolutePath(entry: HookEntry): HookEntry {
  if (typeof entry === 'string') return withPlace({ module: entry });
  if ('length' in entry) return withPlace({ module: entry[0], options: entry[1] });
  return 'module' in entry ? withPlace(entry) : entry;
}

/** Resolves paths here, since the coordinator's working directory is another one. */
function withPlace({ module, from = '.', ...place }: PlacedHooks): HookEntry {
  const isFile = typeof module === 'string' && isFileSpecifier(module);
  return { ...place, module: isFile ? resolve(module) : module, from: resolve(from) };
}
