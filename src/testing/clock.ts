/** The coordinator's clock as a test has it: it runs as the machine's does, and can be moved. */

import { randomBytes, randomUUID } from 'node:crypto';
import type { World } from '../engine/sync-manager.ts';

export interface TestClock {
  /** Wall time in milliseconds. */
  now(): number;
  /** Moves it on; back with a negative number. */
  advance(ms: number): void;
}

export function createClock(): TestClock {
  let offsetMs = 0;
  return {
    now: () => Date.now() + offsetMs,
    advance(ms) {
      offsetMs += ms;
    },
  };
}

export function clockToWorld(clock: TestClock): World {
  return {
    now: () => clock.now(),
    randomBytes,
    randomUuid: randomUUID,
    yield: () => new Promise(setImmediate),
  };
}
