/**
 * The public kit for tests of hook modules, of storages, and of apps that sync through a
 * coordinator.
 */

export { ServerError } from '../../packages/client/src/index.ts';
export {
  assertApproved,
  assertConverged,
  assertRejected,
  type Comparable,
  converge,
  type RejectedEntry,
} from './assertions.ts';
export type { TestClock } from './clock.ts';
export {
  type StartOptions,
  startCoordinator,
  type TestCoordinator,
  type TestOwner,
} from './coordinator.ts';
export { Device, type RowWrite } from './device.ts';
export { type HookContractOptions, hookModuleContract } from './hook-contract.ts';
export { askHooks, type HarnessOptions, type HookHarness } from './hook-harness.ts';
export { kvStoreContract } from './kv-store-contract.ts';
export type { KVStoreContractOptions, OpenedStorage } from './kv-store-contract-options.ts';
export {
  type DeviceWrite,
  SimulatedDevice,
  type SimulatedDeviceOptions,
  type Verdict,
} from './simulated-device.ts';
