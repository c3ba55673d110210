/** What depends most on the nodes being one, of the conformance suite; `main.ts` runs all of it. */

import { startCluster } from './nodes.ts';

await startCluster();
await import('../conformance/positions.test.ts');
await import('../conformance/ws-push.test.ts');
await import('../conformance/drain.test.ts');
