/** A batch of one client, its weight in a group, and its result. */

import { HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import type { ApplyResult } from '../../protocol/types.ts';
import type { BatchItem, Sender } from './foreign-authors.ts';
import type { Outcome } from './foreign-changes.ts';
import { GROUP_WEIGHT_MAX } from './group-commit.ts';
import type { FullHolder } from './held-bound.ts';
import type { Loss } from './lost-cells.ts';

/** A batch of one client, as the hooks have left it. */
export interface Batch {
  /** Who sent it; without one, authors are not checked. */
  sender?: Sender | undefined;
  changeSets: readonly WireChangeSet[];
  /** The coordinator's own, in answer to some of them. */
  answers: readonly WireChangeSet[];
  /** Refused change sets: their site gets reverts. */
  refused: readonly WireChangeSet[];
  /** A transaction of the coordinator's own, which is dated when it is merged (`UNDATED`). */
  own?: readonly WireChange[];
  /** Called right before the commit; if it throws, the batch is not stored. */
  admit?: (() => void) | undefined;
  /** The same, called whenever other work has had its turn. */
  goOn?: (() => void) | undefined;
  /** The newest position when the hooks decided. If the log has grown since, the merge fails. */
  expected?: HlcText | undefined;
}

/** The result of a batch. */
export interface BatchOutcome
  extends Pick<ApplyResult, 'applied' | 'skipped' | 'conflicts' | 'transactions'> {
  /** The newest position in the log after it. */
  position: HlcText;
  /** Items that took no effect, and are not stored. */
  unapplied: Unapplied[];
  /** Changes that are not stored under the name that they give, whatever became of them there. */
  elsewhere: Elsewhere[];
  /** Sites that have to start over, since their held rows exceed a limit. */
  full: readonly FullHolder[];
}

export interface Unapplied extends Loss {
  item: BatchItem;
  /** Of its change set. */
  transactionId: string;
  /** `foreign`: the sender may not send it; see `foreign-authors.ts`. */
  outcome: Exclude<Outcome, 'applied'>;
}

export interface Elsewhere {
  item: WireChange;
  /** The name of its table; `undefined` while nobody is told of what is in that. */
  table: string | undefined;
}

export function emptyOutcome(transactions: number): BatchOutcome {
  return {
    applied: 0,
    skipped: 0,
    conflicts: 0,
    transactions,
    position: HLC_MIN,
    unapplied: [],
    elsewhere: [],
    full: [],
  };
}

/** Counts an item of a change set that took no effect. */
export function countUnapplied(
  result: BatchOutcome,
  { transactionId }: Pick<WireChangeSet, 'transactionId'>,
  item: BatchItem,
  outcome: Unapplied['outcome'],
  loss: Loss = {},
): void {
  result.unapplied.push({ item, transactionId, outcome, ...loss });
  if (outcome !== 'foreign') result[outcome]++;
}

/** The log has grown since a hook decided about a batch, and before the batch was merged. */
export class StaleReadError extends Error {
  override readonly name = 'StaleReadError';

  constructor() {
    super('the database has changed since the batch was judged');
  }
}

/** A migration costs more than a change. */
const MIGRATION_WEIGHT = 10;
/** Bytes that weigh as much as one change: a full group of large values holds 4 MB of them. */
const BYTES_A_CHANGE = 200;
/** The size of a number, or of the syntax around a value. */
const SCALAR_BYTES = 8;

/**
 * The number of a batch's changes or, if these are large, their bytes. Stops counting beyond `GROUP_WEIGHT_MAX`: such a batch is a group of its own, however heavy it
 * is.
 */
export function weightOf({ changeSets, answers, refused, own = [] }: Batch): number {
  let weight = 1 + weightOfItems(own, []);
  for (const sets of [changeSets, answers, refused]) {
    for (const set of sets) {
      weight += weightOfSet(set);
      if (weight > GROUP_WEIGHT_MAX) return weight;
    }
  }
  return weight;
}

function weightOfSet({ changes, schemaMigrations }: WireChangeSet): number {
  return 1 + weightOfItems(changes, schemaMigrations);
}

function weightOfItems(
  changes: readonly WireChange[],
  schemaMigrations: readonly WireMigration[],
): number {
  let bytes = 0;
  for (const change of changes) {
    bytes += bytesOfChange(change);
    if (bytes > GROUP_WEIGHT_MAX * BYTES_A_CHANGE) break;
  }
  for (const migration of schemaMigrations) bytes += bytesOfMigration(migration);
  const count = changes.length + MIGRATION_WEIGHT * schemaMigrations.length;
  return Math.max(count, bytes / BYTES_A_CHANGE);
}

function bytesOfChange(change: WireChange): number {
  const own =
    change.type === 'delete'
      ? bytesOfValue(change.priorRow)
      : bytesOfValue(change.value) + bytesOfValue(change.priorValue);
  return bytesOfValue(change.pk) + own;
}

function bytesOfMigration({ ddl }: WireMigration): number {
  return ddl.length;
}

/** Approximate: one byte for a character. */
function bytesOfValue(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return SCALAR_BYTES;
  let bytes = SCALAR_BYTES;
  if (Array.isArray(value)) for (const member of value) bytes += bytesOfValue(member);
  else
    for (const [name, member] of Object.entries(value)) bytes += name.length + bytesOfValue(member);
  return bytes;
}
