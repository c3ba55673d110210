/** The coordinator's clock as a test has it: it runs as the machine's does, and can be moved or stopped. */

import { randomBytes, randomUUID } from 'node:crypto';
import type { World } from '../engine/sync-manager.ts';

export interface TestClock {
  /** Wall time in milliseconds. */
  now(): number;
  /** Moves it on; back with a negative number. */
  advance(ms: number): void;
  /** From now on it stands still, unless it is moved: what a test counts must not hang on how long it takes. */
  stop(): void;
}

export function createClock(): TestClock {
  let offsetMs = 0;
  let stoppedAtMs: number | undefined;
  return {
    now: () => (stoppedAtMs ?? Date.now()) + offsetMs,
    advance(ms) {
      offsetMs += ms;
    },
    stop() {
      stoppedAtMs ??= Date.now();
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
