/**
 * The weight of a batch in a group: the number of its changes or, if these are large, their bytes.
 */

import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import type { Batch } from './batch.ts';
import { GROUP_WEIGHT_MAX } from './group-commit.ts';

/** A migration costs more than a change. */
const MIGRATION_WEIGHT = 10;
/** Bytes that weigh as much as one change: a full group of large values holds 4 MB of them. */
const BYTES_A_CHANGE = 200;
/** The size of a number, or of the syntax around a value. */
const SCALAR_BYTES = 8;

/**
 * Stops counting beyond `GROUP_WEIGHT_MAX`: such a batch is a group of its own, however heavy it
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
