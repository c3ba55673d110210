/** Devices that write as fast as they are answered, and a little faster. */

import type { PlainDevice } from '../support/plain-device.ts';
import type { Ledger } from './ledger.ts';

/** A transaction writes the same to all of them: whoever finds two values has half of one. */
export const COLUMNS = ['x', 'y', 'z'];
const ROWS = 20;
/** Of one device, without an answer. */
const UNDER_WAY_MAX = 20;

let values = 0;

/**
 * Keeps several transactions under way, each of one value in three columns of some rows.
 * @returns when it is over, whatever is still under way
 */
export async function keepWriting(
  device: PlainDevice,
  ledger: Ledger,
  isOver: () => boolean,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  while (!isOver()) {
    if (underWay.size < UNDER_WAY_MAX) {
      const noted = ledger.note(device, writeAnything(device));
      underWay.add(noted);
      void noted.then(() => underWay.delete(noted));
    }
    await Promise.race([...underWay, sleep(Math.random() * 4)]);
  }
}

function writeAnything(device: PlainDevice): Promise<unknown> {
  const value = `${++values}`.padEnd(200, '.');
  const isDelete = Math.random() < 0.1;
  const rows = Array.from({ length: 1 + Math.floor(Math.random() * 3) }, () => ({
    table: 't',
    pk: [Math.floor(Math.random() * ROWS)],
  }));
  const set = Object.fromEntries(COLUMNS.map((column) => [column, value]));
  return device.transact(
    ...rows.map((row) => (isDelete ? { ...row, delete: true as const } : { ...row, set })),
  );
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
