/** `npm run test:cluster`: the conformance suite against three coordinators on one PostgreSQL. */

import { startCluster } from './nodes.ts';

await startCluster();
await import('./suite.ts');
