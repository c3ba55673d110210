/** Runs one test over both transports, on both embedded stores, with and without a database id. */

import { type TestContext, test } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import type { Device } from '../../src/testing/device.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { type Connect, overHttp, overWebSocket, type SyncTransport } from './transport.ts';

interface Variant {
  name: string;
  connect: Connect;
  storage: 'memory:' | undefined;
  databaseId: string | undefined;
}

const OWN_DATABASE = 'tenant_1:Main.db-2';

const VARIANTS: readonly Variant[] = [
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

export interface Conversation {
  t: TestContext;
  server: TestServer;
  /** The database's id; `default` where none is named. */
  databaseId: string;
  join(device: Device): Promise<SyncTransport>;
}

export function eachTransport(
  behaviour: string,
  run: (conversation: Conversation) => Promise<void>,
  config: CoordinatorConfigInput = {},
  hooks?: () => CoordinatorHooks,
): void {
  for (const { name, connect, storage, databaseId } of VARIANTS) {
    test(`${behaviour} (${name})`, async (t) => {
      const server = await startServer(t, {
        hooks: hooks?.(),
        config: storage === undefined ? config : { ...config, storage },
      });
      const join = ({ siteId }: Device) => connect(server, { siteId, databaseId }, t);
      await run({ t, server, databaseId: databaseId ?? 'default', join });
    });
  }
}
