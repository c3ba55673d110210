/** A page that has the client, for tests that drive it from outside. */

import { createSyncClient, type SyncClient } from '../../../src/index.ts';
import { memoryStore } from '../../../src/stores/memory.ts';

const parts = { createSyncClient, memoryStore };

declare global {
  interface Window {
    parts: typeof parts;
    client: SyncClient;
  }
}

window.parts = parts;
