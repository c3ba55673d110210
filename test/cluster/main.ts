/**
 * `npm run test:cluster`: all of the conformance suite but what looks into one process, as
 * `service.resync` does. With `SYNC_TEST_NODES=processes` each node is a process of its own, but
 * where a test gives hooks as code, or moves the clock.
 */

import { startCluster } from './nodes.ts';

await startCluster();
await import('../conformance/captures.test.ts');
await import('../conformance/corrections.test.ts');
await import('../conformance/databases.test.ts');
await import('../conformance/ddl.test.ts');
await import('../conformance/drain.test.ts');
await import('../conformance/filter.test.ts');
await import('../conformance/merge.test.ts');
await import('../conformance/positions.test.ts');
await import('../conformance/snapshot.test.ts');
await import('../conformance/values.test.ts');
await import('../conformance/verdicts.test.ts');
await import('../conformance/ws-apply-order.test.ts');
await import('../conformance/ws-messages.test.ts');
await import('../conformance/ws-push.test.ts');
