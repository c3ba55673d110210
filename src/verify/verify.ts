/**
 * Checks that a store is what the engine would have made: that every row follows from the log,
 * and that all which is written down twice agrees. It only reads.
 *
 * The passes, each streaming, one array of entries in memory at a time:
 *
 *   1. what the database says of itself: head, site id, horizon, tables, DDL (`verify-meta.ts`);
 *      the catalog stays in memory, as it does in a server
 *   2. the log, and for each array of records the rows that they wrote to (`verify-log.ts`);
 *      of each change in it a hash is kept
 *   3. the rows against these hashes, and the list of deletions (`verify-rows.ts`)
 *
 * With more than `roundEntriesMax` cells, 2 and 3 are repeated for a share of the hashes each: 16
 * to 32 bytes a hash are in memory at once.
 */

import { readCounts } from '../engine/records/cell-counts.ts';
import type { KVReader } from '../storage/kv-store.ts';
import { createTally, type Finding, type VerifyTally } from './findings.ts';
import { LoggedHashes } from './logged-hashes.ts';
import { verifyLog } from './verify-log.ts';
import { verifyMeta } from './verify-meta.ts';
import { verifyLoggedHashes, verifyRows } from './verify-rows.ts';

const ROUND_ENTRIES_MAX = 4_000_000;
const ROUNDS_MAX = 1000;

export interface VerifyOptions {
  /** Filled in on the way. */
  tally?: VerifyTally;
  /** About so many changes of the log are held in memory, as a hash each. */
  roundEntriesMax?: number;
}

/** @param reader a consistent view: nobody may write meanwhile */
export async function* verifyDatabase(
  reader: KVReader,
  { tally = createTally(), roundEntriesMax = ROUND_ENTRIES_MAX }: VerifyOptions = {},
): AsyncGenerator<Finding> {
  const meta = yield* verifyMeta(reader);
  let cells = 0;
  for (const count of (await readCounts(reader)).values()) cells += count;
  const logged = meta.head?.changesLogged ?? meta.head?.logLength ?? 0;
  const rounds = Math.min(ROUNDS_MAX, Math.max(1, Math.ceil(logged / roundEntriesMax)));
  tally.total = rounds * (logged + cells);
  for (let round = 0; round < rounds; round++) {
    const loggedHashes = new LoggedHashes(round, rounds);
    if (round === 0) {
      const { isWhole } = yield* verifyLog(reader, meta, loggedHashes, tally);
      yield* verifyRows(reader, meta, isWhole ? loggedHashes : undefined, tally);
      if (!isWhole) break;
    } else {
      // Everything else has been found in the first round.
      const again = { ...tally };
      for await (const _finding of verifyLog(
        reader,
        { ...meta, catalog: undefined },
        loggedHashes,
        again,
      ));
      tally.done = again.done;
      yield* verifyLoggedHashes(reader, meta, loggedHashes, tally);
    }
  }
}
