/** A real server on a free port, with an embedded store in a temporary directory. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { loadConfig } from '../../src/config/resolve-config.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { type CoordinatorServer, createCoordinatorServer } from '../../src/server.ts';

export interface TestServer extends CoordinatorServer {
  /** `http://127.0.0.1:port/sync` */
  httpUrl: string;
  /** `ws://127.0.0.1:port/sync/ws` */
  wsUrl: string;
}

/** A directory that goes with the test. */
export function temporaryDirectory(t: Pick<TestContext, 'after'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-'));
  t.after(() => removeDirectory(directory));
  return directory;
}

function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}

export interface TestServerOptions {
  config?: CoordinatorConfigInput;
  hooks?: CoordinatorHooks;
}

/** Stops by itself when the test ends. */
export async function startServer(
  t: Pick<TestContext, 'after'>,
  { config = {}, hooks }: TestServerOptions = {},
): Promise<TestServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'sync-coordinator-'));
  const loaded = loadConfig({
    cwd: dataDir,
    env: {},
    overrides: { host: '127.0.0.1', port: 0, dataDir, ...config },
  });
  const server = await createCoordinatorServer({ config: loaded, hooks });
  t.after(async () => {
    await server.stop();
    removeDirectory(dataDir);
  });
  const { port } = await server.start();
  return {
    ...server,
    httpUrl: `http://127.0.0.1:${port}${loaded.basePath}`,
    wsUrl: `ws://127.0.0.1:${port}${loaded.basePath}/ws`,
  };
}
