/**
 * Runs one test over both transports, with and without a database id: on both embedded stores, or on
 * the nodes of a cluster.
 */

import { type TestContext, test } from 'node:test';
import type { CodeHooks } from '../../src/hooks/loading/code-hooks.ts';
import type { Device } from '../../src/testing/device.ts';
import {
  type Deployment,
  type DeploymentOptions,
  isOnCluster,
  startDeployment,
} from './deployment.ts';
import { type Connect, overHttp, overWebSocket, type SyncTransport } from './transport.ts';

interface Variant {
  name: string;
  connect: Connect;
  storage: 'memory:' | undefined;
  databaseId: string | undefined;
}

const OWN_DATABASE = 'tenant_1:Main.db-2';

const ALONE: readonly Variant[] = [
  { name: 'HTTP, memory', connect: overHttp, storage: 'memory:', databaseId: undefined },
  {
    name: 'HTTP, LevelDB, own database',
    connect: overHttp,
    storage: undefined,
    databaseId: OWN_DATABASE,
  },
  { name: 'WebSocket, LevelDB', connect: overWebSocket, storage: undefined, databaseId: undefined },
  {
    name: 'WebSocket, memory, own database',
    connect: overWebSocket,
    storage: 'memory:',
    databaseId: OWN_DATABASE,
  },
];

const ON_CLUSTER: readonly Variant[] = [
  { name: 'HTTP, nodes', connect: overHttp, storage: undefined, databaseId: undefined },
  {
    name: 'WebSocket, nodes, own database',
    connect: overWebSocket,
    storage: undefined,
    databaseId: OWN_DATABASE,
  },
];

export interface Conversation {
  t: TestContext;
  server: Deployment;
  /** The database's id; `default` where none is named. */
  databaseId: string;
  join(device: Device): Promise<SyncTransport>;
}

interface EachTransportOptions extends Omit<DeploymentOptions, 'hooks'> {
  hooks?: () => CodeHooks;
}

/** For tests in which one client brings what several sites wrote. */
export const RELAYING = { config: { sync: { foreignAuthors: 'accept' } } } as const;

export function eachTransport(
  behaviour: string,
  run: (conversation: Conversation) => Promise<void>,
  { config = {}, hooks, ...options }: EachTransportOptions = {},
): void {
  for (const { name, connect, storage, databaseId } of isOnCluster() ? ON_CLUSTER : ALONE) {
    test(`${behaviour} (${name})`, async (t) => {
      const server = await startDeployment(t, {
        ...options,
        hooks: hooks?.(),
        config: storage === undefined ? config : { ...config, storage },
      });
      const join = ({ siteId }: Device) => connect(server, { siteId, databaseId }, t);
      await run({ t, server, databaseId: databaseId ?? 'default', join });
    });
  }
}
