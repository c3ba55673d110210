/**
 * Checks that a store is one that the engine could have written: each row follows from the log, and
 * all that is stored twice agrees. It only reads.
 *
 * The passes stream, with one array of entries in memory at a time:
 *
 *   1. head, site id, horizon, catalog and other small records (`verify-meta.ts`); the catalog
 *   stays
 *      in memory, as in a server
 *   2. the log, and for each array of records the rows that they wrote to (`verify-log.ts`); the
 *   hash
 *      of each change is kept
 *   3. the rows against these hashes, and the list of deletions (`verify-rows.ts`)
 *
 * With more than `roundEntriesMax` changes, 2 and 3 are repeated, each time for a share of the
 * hashes: 16 to 32 bytes a hash are in memory at once.
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
  /** Updated as the check proceeds. */
  tally?: VerifyTally;
  /** The most changes of the log, about, whose hashes are in memory at once. */
  roundEntriesMax?: number;
}

/** @param reader a consistent view, or a store without writers */
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
      // The first round has found everything else.
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
