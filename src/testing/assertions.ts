/** What tests of hooks want to know of verdicts and replicas. */

import assert from 'node:assert/strict';
import type { TestCoordinator } from './coordinator.ts';
import { withoutNulls } from './replica.ts';
import type { SimulatedDevice, Verdict } from './simulated-device.ts';

export type RejectedEntry = NonNullable<Verdict['rejected']>[number];

/** Nothing of the transaction was rejected. */
export function assertApproved(verdict: Verdict): void {
  assert.deepEqual(verdict.rejected ?? [], [], 'nothing is rejected');
}

/** Each of `expected` fits a change that was rejected, as far as it names its parts; no others were. */
export function assertRejected(verdict: Verdict, ...expected: Partial<RejectedEntry>[]): void {
  const left = [...(verdict.rejected ?? [])];
  for (const entry of expected) {
    const index = left.findIndex((actual) => fits(actual, entry));
    assert.notEqual(index, -1, `no rejection like ${text(entry)} among ${text(verdict.rejected)}`);
    left.splice(index, 1);
  }
  assert.deepEqual(left, [], 'nothing else is rejected');
}

function fits(actual: RejectedEntry, expected: Partial<RejectedEntry>): boolean {
  return Object.entries(expected).every(
    ([key, value]) => text(Reflect.get(actual, key)) === text(value),
  );
}

function text(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

/** Has the devices, which are all online, take in what the others have written. */
export async function converge(devices: readonly SimulatedDevice[]): Promise<void> {
  // Twice: what a device sends last is to reach those that asked before it did.
  for (let i = 0; i < 2; i++) for (const device of devices) await device.synced();
}

/**
 * The devices hold the same, and the same as one that is new; a column that is null and one that is not
 * there are the same. With a filter
 * (`onBeforeSendChanges`) that is only so among those who may see the same.
 */
export async function assertConverged(
  coordinator: TestCoordinator,
  devices: readonly SimulatedDevice[],
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
