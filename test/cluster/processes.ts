/**
 * `npm run test:processes`: the same against three processes, but where a test gives hooks as code
 * or moves the clock.
 */

import { startCluster } from './nodes.ts';

await startCluster({ inProcesses: true });
await import('./suite.ts');
