/**
 * The coordinator's clock in a test: it follows the machine's clock, and can be moved or stopped.
 */

import { randomBytes, randomUUID } from 'node:crypto';
import type { World } from '../engine/world.ts';

export interface TestClock {
  /** Wall time in milliseconds. */
  now(): number;
  /** Moves it forward, or back with a negative number. */
  advance(ms: number): void;
  /** Stops it, except for `advance`, so that a test does not depend on how long it takes. */
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
