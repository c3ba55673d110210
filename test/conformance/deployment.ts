/**
 * What the suite talks to: one coordinator, or several on one PostgreSQL, whose clients are spread
 * over them without a word. A test that looks into one process starts a server of its own instead.
 */

import type { TestContext } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CodeHooks } from '../../src/hooks/loader.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { startServer, type TestServer } from '../support/server.ts';

export interface DeploymentOptions {
  config?: CoordinatorConfigInput;
  hooks?: CodeHooks;
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
  { config, hooks }: DeploymentOptions = {},
): Promise<Deployment> {
  if (cluster === undefined) return toDeployment([await startServer(t, { config, hooks })]);
  const storage = cluster.newStorage();
  const start = () => startCoordinator(t, { config: { ...config, storage }, hooks });
  return toDeployment(await Promise.all(Array.from({ length: cluster.nodes }, start)));
}

function toDeployment(nodes: readonly TestServer[]): Deployment {
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
      const ended = await Promise.all(nodes.map(({ service }) => service.resync(predicate)));
      return ended.reduce((sum, count) => sum + count, 0);
    },
    maintain: (databaseId) => next().service.maintain(databaseId),
  };
}
