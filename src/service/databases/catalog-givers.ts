/** Which databases are closed to make room for the catalog of another one. */

import type { PoolEntry } from './pool-entry.ts';

/**
 * What the catalogs of each user or address take. One that several use is divided among them.
 * @param except counts for nobody
 */
export function bytesByHolder(
  entries: Iterable<PoolEntry>,
  except?: PoolEntry,
): Map<string, number> {
  const bytes = new Map<string, number>();
  for (const entry of entries) {
    if (entry === except) continue;
    const { leasesByHolder, catalogBytes } = entry;
    for (const holder of leasesByHolder.keys()) {
      bytes.set(holder, (bytes.get(holder) ?? 0) + catalogBytes / leasesByHolder.size);
    }
  }
  return bytes;
}

/** What whoever has least has, of those that use a database; `undefined` if only the server does. */
export function leastOf(
  { leasesByHolder }: PoolEntry,
  bytes: ReadonlyMap<string, number>,
): number | undefined {
  let least: number | undefined;
  for (const holder of leasesByHolder.keys()) {
    const taken = bytes.get(holder) ?? 0;
    if (least === undefined || taken < least) least = taken;
  }
  return least;
}

/**
 * First those that nobody uses, of whoever has left most; then those that only one uses, of whoever
 * has most, and more than twice as much as who asks. Of one user's the least recently used first.
 * @param bytes what the catalog of the one that asks takes in all
 * @param missing what has to become free
 * @returns `undefined` if all that would not be enough
 */
export function giversOf(
  others: readonly PoolEntry[],
  asking: PoolEntry,
  bytes: number,
  missing: number,
): PoolEntry[] | undefined {
  const open = others.filter(
    ({ database, closing, catalogBytes }) =>
      database !== undefined && closing === undefined && catalogBytes > 0,
  );
  const givers: PoolEntry[] = [];
  let left = missing;
  const take = (queues: readonly Queue[], above: number) => {
    while (left > 0) {
      const queue = fullestOf(queues, above);
      const entry = queue?.entries.shift();
      if (queue === undefined || entry === undefined) return;
      queue.bytes -= entry.catalogBytes;
      left -= entry.catalogBytes;
      givers.push(entry);
    }
  };
  const idle = queuesOf(
    open.filter(({ leases }) => leases === 0),
    ({ lastHolder }) => lastHolder,
  );
  for (const queue of idle)
    for (const { catalogBytes } of queue.entries) queue.bytes += catalogBytes;
  take(idle, 0);
  const taken = bytesByHolder(others);
  const own = leastOf(asking, taken);
  if (left > 0 && own !== undefined) {
    const used = queuesOf(
      open.filter((entry) => soleHolderOf(entry) !== undefined),
      soleHolderOf,
    );
    for (const queue of used) queue.bytes = taken.get(queue.holder ?? '') ?? 0;
    take(used, 2 * (own + bytes));
  }
  return left > 0 ? undefined : givers;
}

interface Queue {
  holder: string | undefined;
  /** The least recently used first. */
  entries: PoolEntry[];
  bytes: number;
}

function queuesOf(
  entries: readonly PoolEntry[],
  holderOf: (entry: PoolEntry) => string | undefined,
): Queue[] {
  const queues = new Map<string | undefined, Queue>();
  for (const entry of entries.toSorted((a, b) => a.lastUsed - b.lastUsed)) {
    const holder = holderOf(entry);
    const queue = queues.get(holder) ?? { holder, entries: [], bytes: 0 };
    queue.entries.push(entry);
    queues.set(holder, queue);
  }
  return [...queues.values()];
}

/** Who has all leases of a database. */
function soleHolderOf({ leasesByHolder, leases }: PoolEntry): string | undefined {
  const [[holder, own] = []] = leasesByHolder;
  return own === leases ? holder : undefined;
}

/** The one with most bytes, and more than `above`, of those that aren't empty. */
function fullestOf(queues: readonly Queue[], above: number): Queue | undefined {
  let fullest: Queue | undefined;
  for (const queue of queues) {
    if (queue.entries.length === 0 || queue.bytes <= (fullest?.bytes ?? above)) continue;
    fullest = queue;
  }
  return fullest;
}
