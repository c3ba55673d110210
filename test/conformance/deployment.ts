/**
 * What the suite talks to: one coordinator, or several on one PostgreSQL, whose clients are spread
 * over them without a word. A test that looks into one process starts a server of its own instead.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CodeHooks } from '../../src/hooks/loading/code-hooks.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { startChildServer } from '../support/child-server.ts';
import { startServer, type TestServer, temporaryDirectory } from '../support/server.ts';

export interface DeploymentOptions {
  config?: CoordinatorConfigInput;
  hooks?: CodeHooks;
  /** The test moves the clock of this process, and means the server's with it. */
  movesClock?: boolean;
}

export interface Deployment {
  /** Of another node each time it is asked for. */
  readonly httpUrl: string;
  readonly wsUrl: string;
  /** On all nodes. */
  resync: TestServer['service']['resync'];
  maintain: TestServer['service']['maintain'];
}

type Owner = Pick<TestContext, 'after'>;

/** Where a deployment of several nodes keeps its data. */
interface ClusterOptions {
  nodes: number;
  /** A store that nobody has used yet. */
  newStorage(): string;
  /** Each node in a process of its own, but where a test gives hooks as code or moves the clock. */
  inProcesses?: boolean;
}

let cluster: ClusterOptions | undefined;

/** From now on the suite runs against several nodes. To be called before it is imported. */
export function runOnCluster(options: ClusterOptions): void {
  cluster = options;
}

export function isOnCluster(): boolean {
  return cluster !== undefined;
}

/** Stops by itself when the test ends. */
export async function startDeployment(
  t: Owner,
  { config, hooks, movesClock = false }: DeploymentOptions = {},
): Promise<Deployment> {
  if (cluster === undefined) {
    const server = await startServer(t, { config, hooks });
    return toDeployment([server], async () => [server]);
  }
  const { nodes, newStorage, inProcesses = false } = cluster;
  const onNodes = { ...config, storage: newStorage() };
  const start = () => startCoordinator(t, { config: onNodes, hooks });
  if (!inProcesses || hooks !== undefined || movesClock) {
    const servers = await Promise.all(Array.from({ length: nodes }, start));
    return toDeployment(servers, async () => servers);
  }
  const spawn = () => startProcess(t, onNodes);
  const processes = await Promise.all(Array.from({ length: nodes }, spawn));
  // What is asked of a process itself is asked of one more, here.
  return toDeployment(processes, async () => [await start()]);
}

async function startProcess(t: Owner, config: CoordinatorConfigInput) {
  const dataDir = temporaryDirectory();
  const file = join(dataDir, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  return startChildServer(t, { dataDir, args: ['--config', file] });
}

/** @param services of which one is as good as another for what the store is asked */
function toDeployment(
  nodes: readonly Pick<TestServer, 'httpUrl' | 'wsUrl'>[],
  services: () => Promise<readonly TestServer[]>,
): Deployment {
  let turn = 0;
  const next = () => {
    const node = nodes[turn++ % nodes.length];
    if (node === undefined) throw new Error('a deployment has at least one node');
    return node;
  };
  return {
    get httpUrl() {
      return next().httpUrl;
    },
    get wsUrl() {
      return next().wsUrl;
    },
    async resync(predicate) {
      const asked = await services();
      const ended = await Promise.all(asked.map(({ service }) => service.resync(predicate)));
      return ended.reduce((sum, count) => sum + count, 0);
    },
    async maintain(databaseId) {
      const [server] = await services();
      if (server === undefined) throw new Error('a deployment has at least one node');
      return server.service.maintain(databaseId);
    },
  };
}
