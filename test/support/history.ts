/** Histories of a database by chance: three devices that write, delete and change tables, and time. */

import fc from 'fast-check';
import type { SyncManager } from '../../src/engine/sync-manager.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import type { TestWorld } from './world.ts';

export const DAY_MS = 24 * 60 * 60 * 1000;

interface WriteStep {
  do: 'write' | 'delete';
  device: number;
  table: string;
  key: number;
  columns: string[];
}
type Step =
  | WriteStep
  | { do: 'create'; device: number; table: string }
  | { do: 'drop'; device: number; table: string }
  | { do: 'rename'; device: number; table: string; to: string }
  | { do: 'compact' | 'expire' | 'deliver' };

const device = fc.integer({ min: 0, max: 2 });
const table = fc.constantFrom('t', 'u', 'v');
const key = fc.integer({ min: 1, max: 3 });
const columns = fc.subarray(['a', 'b'], { minLength: 1 });
const constant = <T extends string>(...of: T[]) => fc.constantFrom<T>(...of);
export const history: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 7,
      arbitrary: fc.record({
        do: constant('write', 'write', 'delete'),
        device,
        table,
        key,
        columns,
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: constant('create', 'drop'), device, table }) },
    { weight: 1, arbitrary: fc.record({ do: constant('rename'), device, table, to: table }) },
    { weight: 2, arbitrary: fc.record({ do: constant('compact', 'expire', 'deliver') }) },
  ),
  { minLength: 1, maxLength: 25 },
);

/** Which of the steps are heard of late. */
export const delays = fc.array(fc.boolean(), { minLength: 1, maxLength: 7 });

/** What the devices make of a step; a device is heard of at once, or when all that was held back is. */
export async function runHistory(
  steps: readonly Step[],
  late: readonly boolean[],
  { manager, world }: { manager: SyncManager; world: TestWorld },
): Promise<void> {
  const devices = [1, 2, 3].map((number) => new Device(number));
  const delayed: WireChangeSet[] = [];
  for (const [i, step] of steps.entries()) {
    if (step.do === 'expire') world.nowMs += 2 * DAY_MS;
    if (step.do === 'compact' || step.do === 'expire') await manager.maintain({ thorough: true });
    if (step.do === 'deliver') await manager.apply(delayed.splice(0));
    if (!('device' in step)) continue;
    const author = devices[step.device];
    if (author === undefined) throw new Error('no such device');
    const changeSet = toChangeSet(step, author, i);
    if (late[i % late.length]) delayed.push(changeSet);
    else await manager.apply([changeSet]);
  }
  await manager.apply(delayed);
  // Tables that have ended are emptied beside the writers: who looks at the store waits for that.
  await manager.maintain();
}

function toChangeSet(
  step: Extract<Step, { device: number }>,
  author: Device,
  i: number,
): WireChangeSet {
  const { table } = step;
  const schemaVersion = i + 1;
  if ('columns' in step) {
    if (step.do === 'delete') return author.write({ table, pk: [step.key], delete: true });
    const set = Object.fromEntries(step.columns.map((column) => [column, i]));
    return author.write({ table, pk: [step.key], set });
  }
  if (step.do === 'create') return author.migrate('create_table', table, { schemaVersion });
  if (step.do === 'drop') return author.migrate('drop_table', table, { schemaVersion });
  return author.migrate('rename_table', step.to, { schemaVersion, fromTable: table });
}
