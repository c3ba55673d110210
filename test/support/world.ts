/** A world that a test controls: a clock that only moves when told, and ids that repeat. */

import type { World } from '../../src/engine/world.ts';

export interface TestWorld extends World {
  nowMs: number;
}

export function createTestWorld(nowMs = 1_800_000_000_000): TestWorld {
  let count = 0;
  return {
    nowMs,
    now() {
      return this.nowMs;
    },
    randomBytes(size) {
      count++;
      return new Uint8Array(size).fill(count);
    },
    yield: () => new Promise(setImmediate),
    randomUuid() {
      count++;
      return `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`;
    },
  };
}
