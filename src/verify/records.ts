/** Reads single records without trusting them. */

import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/value';
import type { KVEntry, KVRange, KVReader } from '../storage/kv-store.ts';
import { parseBytes } from './findings.ts';

/** The value, if it fits the schema. */
export function parseAs<S extends TSchema>(
  schema: S,
  bytes: Uint8Array | undefined,
): Static<S> | undefined {
  const value = bytes && parseBytes(bytes);
  return Check(schema, value) ? value : undefined;
}

export async function* entriesOf(reader: KVReader, range: KVRange): AsyncGenerator<KVEntry> {
  for await (const entries of reader.iterate(range)) yield* entries;
}
