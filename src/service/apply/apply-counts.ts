/** What is counted of batches, for the metrics. */

import { CHANGES_BUCKETS, Distribution, SECONDS_BUCKETS } from '../../metrics/counts.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { ApplyResult } from '../../protocol/types.ts';
import { countChanges } from './drain.ts';

export class ApplyCounts {
  /** Changes and migrations of all batches so far. */
  readonly changes = { received: 0, applied: 0, skipped: 0, conflicting: 0, rejected: 0 };
  /** Changes and migrations in each batch. */
  readonly batchSizes = new Distribution(CHANGES_BUCKETS);
  /** Seconds from the arrival of a batch to its being durable. */
  readonly seconds = new Distribution(SECONDS_BUCKETS);

  arrived(changeSets: readonly WireChangeSet[]): void {
    const changeCount = countChanges(changeSets);
    this.changes.received += changeCount;
    this.batchSizes.observe(changeCount);
  }

  stored({ applied, skipped, conflicts, rejected = [] }: ApplyResult): void {
    this.changes.applied += applied;
    this.changes.skipped += skipped;
    this.changes.conflicting += conflicts;
    this.changes.rejected += rejected.length;
  }
}
