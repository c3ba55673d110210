/** Reads entries, on a connection or on any of a pool. */

import type pg from 'pg';
import type { KVEntry, KVRange } from '../kv-store.ts';
import { bytesPerRead } from '../read-size.ts';
import { toByteaArray } from './byte-arrays.ts';

const ENTRIES_PER_READ = 1000;
const BYTES_PER_READ_MAX = 1024 * 1024;

export type Queryable = Pick<pg.Pool | pg.ClientBase, 'query'>;

/** Where the entries of one database are. */
export interface Place {
  schema: string;
  databaseId: string;
}

export async function readMany(
  queryable: Queryable,
  { schema, databaseId }: Place,
  keys: readonly Uint8Array[],
): Promise<(Uint8Array | undefined)[]> {
  if (keys.length === 0) return [];
  // This form looks up each key in the index, with or without statistics. A plain join that was
  // planned while the table was empty would read the whole database until PostgreSQL has gathered
  // statistics.
  const { rows } = await queryable.query<[number, Buffer]>({
    name: 'read-many',
    text:
      'SELECT k.i::integer, e.value FROM unnest($2::bytea[]) WITH ORDINALITY AS k (key, i) ' +
      `CROSS JOIN LATERAL (SELECT value FROM ${schema}.entries ` +
      'WHERE database_id = $1 AND key = k.key LIMIT 1) AS e',
    values: [databaseId, toByteaArray(keys)],
    rowMode: 'array',
  });
  const values = new Array<Uint8Array | undefined>(keys.length).fill(undefined);
  for (const [ordinal, value] of rows) values[ordinal - 1] = value;
  return values;
}

/**
 * Reads the entries of a range in pieces, each after the last key of the one before. They are
 * consistent only if the connection is in a transaction with a fixed snapshot.
 */
export async function* readRange(
  queryable: Queryable,
  place: Place,
  range: KVRange,
): AsyncGenerator<readonly KVEntry[]> {
  let left = range.limit ?? Number.POSITIVE_INFINITY;
  let rest: KVRange = range;
  while (left > 0) {
    const asked = Math.min(left, ENTRIES_PER_READ);
    const { entries, isWhole } = await readPiece(queryable, place, rest, asked);
    const last = entries.at(-1);
    if (last === undefined) return;
    yield entries;
    if (isWhole) return;
    left -= entries.length;
    const [key] = last;
    rest = range.reverse ? { ...rest, lt: key } : { ...rest, gt: key, gte: undefined };
  }
}

async function readPiece(
  queryable: Queryable,
  { schema, databaseId }: Place,
  range: KVRange,
  limit: number,
): Promise<{ entries: KVEntry[]; isWhole: boolean }> {
  const { gt, gte, lt, reverse = false } = range;
  const [low, comparison] = gt === undefined ? [gte, '>='] : [gt, '>'];
  const direction = reverse ? 'DESC' : 'ASC';
  // `octet_length` does not read values that are stored out of line: only returned values are read.
  const { rows } = await queryable.query<[Buffer, Buffer, string]>({
    name: `read-range ${comparison} ${direction}`,
    text:
      'SELECT key, value, found FROM (' +
      '  SELECT key, value, count(*) OVER () AS found,' +
      `    sum(octet_length(value)) OVER (ORDER BY key ${direction}) - octet_length(value) AS before` +
      '  FROM (' +
      `    SELECT key, value FROM ${schema}.entries` +
      `    WHERE database_id = $1 AND key ${comparison} $2 AND key < $3` +
      `    ORDER BY key ${direction} LIMIT $4` +
      '  ) AS piece' +
      `) AS sized WHERE before <= $5 ORDER BY key ${direction}`,
    values: [
      databaseId,
      Buffer.from(low ?? []),
      Buffer.from(lt),
      limit,
      bytesPerRead(range, BYTES_PER_READ_MAX),
    ],
    rowMode: 'array',
  });
  const entries = rows.map(([key, value]): KVEntry => [key, value]);
  const found = Number(rows[0]?.[2] ?? 0);
  return { entries, isWhole: found < limit && found === entries.length };
}
