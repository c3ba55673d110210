/** Has the conformance suite, which is imported afterwards, run against nodes on one PostgreSQL. */

import { after } from 'node:test';
import { runOnCluster } from '../conformance/deployment.ts';
import { startPostgres } from '../support/postgres.ts';

const NODES = 3;

export async function startCluster({ inProcesses = false } = {}): Promise<void> {
  // What a power failure leaves is another test's business.
  const postgres = await startPostgres(['-c', 'fsync=off']);
  after(() => postgres.stop());
  runOnCluster({ nodes: NODES, newStorage: () => postgres.url(), inProcesses });
}
