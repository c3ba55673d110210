/** Assertions about verdicts and replicas, for tests of hooks. */

import assert from 'node:assert/strict';
import { inspect, isDeepStrictEqual } from 'node:util';
import { type Contents, withoutNulls } from './contents.ts';
import type { TestCoordinator } from './coordinator.ts';
import type { Verdict } from './simulated-device.ts';

export type RejectedEntry = Verdict['rejected'][number];

/** What can be compared with others: a simulated device, or one of your own. */
export interface Comparable {
  /** Resolves once its writes have been answered, and it holds what the coordinator has for it. */
  synced(): Promise<void>;
  /** As a simulated device has it. */
  contents(): Contents;
}

/** Asserts that nothing of the transaction was rejected. */
export function assertApproved({ state, outcome, rejected }: Verdict): void {
  assert.deepEqual(rejected, [], 'nothing is rejected');
  assert.notEqual(state, 'rejected', outcome?.reason);
}

/**
 * Asserts that each of `expected` matches a rejected change in the fields that it has, and that no
 * others were rejected.
 */
export function assertRejected(verdict: Verdict, ...expected: Partial<RejectedEntry>[]): void {
  const left = [...verdict.rejected];
  for (const entry of expected) {
    const index = left.findIndex((actual) => fits(actual, entry));
    assert.notEqual(
      index,
      -1,
      `no rejection like ${inspect(entry)} among ${inspect(verdict.rejected)}`,
    );
    left.splice(index, 1);
  }
  assert.deepEqual(left, [], 'nothing else is rejected');
}

function fits(actual: RejectedEntry, expected: Partial<RejectedEntry>): boolean {
  return Object.entries(expected).every(([key, value]) =>
    isDeepStrictEqual(Reflect.get(actual, key), value),
  );
}

/** Exchanges changes until all devices, which must be online, have received those of the others. */
export async function converge(devices: readonly Comparable[]): Promise<void> {
  // Twice: what the last device sends must reach those that fetched before.
  for (let i = 0; i < 2; i++) for (const device of devices) await device.synced();
}

/**
 * Asserts that all devices hold the same rows as a new one. A missing column equals one that is
 * null. With a read filter (`onBeforeSendChanges`) this holds only for devices that may see the
 * same.
 */
export async function assertConverged(
  coordinator: TestCoordinator,
  devices: readonly Comparable[],
  newcomer: { token?: string; databaseId?: string } = {},
): Promise<void> {
  await converge(devices);
  const fresh = await coordinator.device(newcomer);
  const expected = withoutNulls(fresh.contents());
  await fresh.goOffline();
  for (const [i, device] of devices.entries()) {
    assert.deepEqual(
      withoutNulls(device.contents()),
      expected,
      `device ${i + 1} holds what the coordinator does`,
    );
  }
}
