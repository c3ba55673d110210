import { fileURLToPath } from 'node:url';

/** The command as it is published, which `scripts/run-tests.mjs` has built. */
export const BUILT_COMMAND = fileURLToPath(
  new URL('../../dist/src/bin/sync-coordinator.js', import.meta.url),
);
