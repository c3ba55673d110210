/** How much of a group one batch takes: its changes and, where these are large, their bytes. */

import type { WireChange, WireChangeSet, WireMigration } from '../wire/schemas.ts';
import type { Batch } from './merge-transaction.ts';

/** A migration looks at more than a change. */
const MIGRATION_WEIGHT = 10;
/** So many bytes weigh as much as a change: a full group of large values holds 4 MiB of them. */
const BYTES_A_CHANGE = 200;
/** Of a number, or of what stands around a value. */
const SCALAR_BYTES = 8;

export function weightOf({ changeSets, answers, refused, own = [] }: Batch): number {
  let weight = 1 + weightOfItems(own, []);
  for (const set of changeSets) weight += weightOfSet(set);
  for (const set of answers) weight += weightOfSet(set);
  for (const set of refused) weight += weightOfSet(set);
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
  for (const change of changes) bytes += bytesOfChange(change);
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

/** About: one for a character. */
function bytesOfValue(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return SCALAR_BYTES;
  let bytes = SCALAR_BYTES;
  if (Array.isArray(value)) for (const member of value) bytes += bytesOfValue(member);
  else
    for (const [name, member] of Object.entries(value)) bytes += name.length + bytesOfValue(member);
  return bytes;
}
