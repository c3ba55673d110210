/** Checks what a database says of itself: head, site id, horizon, tables, DDL, and what it knows of sites. */

import { type Static, type TSchema, Type } from 'typebox';
import { Check } from 'typebox/value';
import { compareHlc, HLC_MIN, type HlcText, isHlcText } from '../../clock/hlc.ts';
import { hlcSite, isSiteIdText, type SiteIdText } from '../../clock/site-id.ts';
import { FORMAT_KEY } from '../../storage/format.ts';
import type { KVRange, KVReader } from '../../storage/kv-store.ts';
import { MigrationSchema } from '../../wire/schemas.ts';
import { Catalog, migrationSlot } from '../catalog.ts';
import type { Head } from '../head.ts';
import {
  boundaryKey,
  HEAD_KEY,
  HORIZON_KEY,
  kindRange,
  logPinKeyToName,
  migrationKey,
  REPLACED_KEY,
  SITE_KEY,
  tableKey,
} from '../keys.ts';
import {
  BoundarySchema,
  HeadSchema,
  LOG_PIN_NAME,
  LogPinSchema,
  SiteStateSchema,
  TableSchema,
} from '../record-schemas.ts';
import { bytesToText } from '../row.ts';
import { boundaryIdentity } from '../table-timeline.ts';
import { type Finding, finding, parseBytes, showKey } from './findings.ts';

const FormatSchema = Type.Object({ format: Type.Integer(), databaseId: Type.String() });

export interface Meta {
  head: Head | undefined;
  site: SiteIdText | undefined;
  horizon: HlcText;
  /** `undefined` where some of it is unreadable: log and rows can't be compared then. */
  catalog: Catalog | undefined;
}

export async function* verifyMeta(reader: KVReader): AsyncGenerator<Finding, Meta> {
  const [format, headBytes, siteBytes, horizonBytes, replacedBytes] = await reader.getMany([
    FORMAT_KEY,
    HEAD_KEY,
    SITE_KEY,
    HORIZON_KEY,
    REPLACED_KEY,
  ]);
  if (parseAs(FormatSchema, format) === undefined) {
    yield finding('FORMAT', 'format', stateOf(format));
  }
  const head = parseAs(HeadSchema, headBytes);
  if (head === undefined) yield finding('META', 'm head', stateOf(headBytes));
  const siteText = siteBytes && bytesToText(siteBytes);
  const site = isSiteIdText(siteText) ? siteText : undefined;
  if (site === undefined) yield finding('META', 'm site', stateOf(siteBytes));
  if (head !== undefined && site !== undefined && hlcSite(head.position) !== site) {
    yield finding('META', 'm head', `${head.position} is of another coordinator`);
  }
  if (replacedBytes !== undefined && !isHlcText(bytesToText(replacedBytes))) {
    yield finding('META', 'm replaced', 'is no position');
  }
  const horizonText = horizonBytes && bytesToText(horizonBytes);
  const horizon = isHlcText(horizonText) ? horizonText : HLC_MIN;
  if (horizonBytes !== undefined && !isHlcText(horizonText)) {
    yield finding('META', 'm horizon', 'is no position');
  }
  if (head !== undefined && compareHlc(horizon, head.position) > 0) {
    yield finding('META', 'm horizon', `${horizon} is after the end of the log, ${head.position}`);
  }
  const isWhole = yield* verifyCatalog(reader);
  yield* verifySites(reader);
  yield* verifyLogPins(reader, head, site);
  yield* verifyKeys(reader);
  return { head, site, horizon, catalog: isWhole ? await Catalog.load(reader) : undefined };
}

/** The value, if it is of this shape. */
function parseAs<S extends TSchema>(
  schema: S,
  bytes: Uint8Array | undefined,
): Static<S> | undefined {
  const value = bytes && parseBytes(bytes);
  return Check(schema, value) ? value : undefined;
}

function stateOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'is missing' : 'cannot be read';
}

/** @returns whether all of it can be read */
async function* verifyCatalog(reader: KVReader): AsyncGenerator<Finding, boolean> {
  let isWhole = true;
  const names = new Map<string, number>();
  for await (const [key, value] of entriesOf(reader, kindRange('t'))) {
    const table = parseAs(TableSchema, value);
    if (table === undefined) {
      isWhole = false;
      yield finding('CATALOG', showKey(key), 'a table that cannot be read');
      continue;
    }
    if (!tableKey(table.id).equals(key)) {
      isWhole = false;
      yield finding(
        'CATALOG',
        showKey(key),
        `stands in the place of another table than ${table.id}`,
      );
    }
    if (table.dropped) continue;
    const name = JSON.stringify([table.schema, table.table]);
    const other = names.get(name);
    if (other !== undefined) {
      yield finding('CATALOG', `table ${name}`, `is two tables, ${other} and ${table.id}`);
    }
    names.set(name, table.id);
  }
  for await (const [key, value] of entriesOf(reader, kindRange('b'))) {
    const boundary = parseAs(BoundarySchema, value);
    if (boundary !== undefined && boundaryKey(boundaryIdentity(boundary)).equals(key)) continue;
    isWhole = false;
    yield finding('CATALOG', showKey(key), 'a boundary that cannot be read, or not of this key');
  }
  for await (const [key, value] of entriesOf(reader, kindRange('g'))) {
    const migration = parseAs(MigrationSchema, value);
    if (migration !== undefined && migrationKey(migrationSlot(migration)).equals(key)) continue;
    isWhole = false;
    yield finding('CATALOG', showKey(key), 'a migration that cannot be read, or not of this key');
  }
  return isWhole;
}

async function* verifySites(reader: KVReader): AsyncGenerator<Finding> {
  for await (const [key, value] of entriesOf(reader, kindRange('s'))) {
    if (key.length !== 17) yield finding('SITE', showKey(key), 'is not the key of a site');
    else if (parseAs(SiteStateSchema, value) === undefined) {
      yield finding('SITE', showKey(key), 'cannot be read');
    }
  }
}

async function* verifyLogPins(
  reader: KVReader,
  head: Head | undefined,
  site: SiteIdText | undefined,
): AsyncGenerator<Finding> {
  for await (const [key, value] of entriesOf(reader, kindRange('p'))) {
    const pin = parseAs(LogPinSchema, value);
    if (!LOG_PIN_NAME.test(logPinKeyToName(key))) {
      yield finding('LOG_PIN', showKey(key), 'has no name that a log pin can have');
    } else if (pin === undefined) yield finding('LOG_PIN', showKey(key), 'cannot be read');
    else if (site !== undefined && hlcSite(pin.position) !== site) {
      yield finding('LOG_PIN', showKey(key), `${pin.position} is of another coordinator`);
    } else if (head !== undefined && compareHlc(pin.position, head.position) > 0) {
      yield finding('LOG_PIN', showKey(key), `${pin.position} is after the end of the log`);
    }
  }
}

/** Those of which there may be many. */
const KINDS = 'bdglprst';

/**
 * Keys that nobody here writes: what stands between the kinds, which is next to nothing. Those that
 * begin with the byte 0 are the storage layer's own, and for it to judge.
 */
async function* verifyKeys(reader: KVReader): AsyncGenerator<Finding> {
  const known = [HEAD_KEY, SITE_KEY, HORIZON_KEY, REPLACED_KEY];
  const kinds = [...KINDS].map((kind) => kind.charCodeAt(0));
  for (const [i, kind] of [0, ...kinds].entries()) {
    const range = { gte: Buffer.of(kind + 1), lt: Buffer.of(kinds[i] ?? 0xff) };
    for await (const [key] of entriesOf(reader, range)) {
      if (known.some((it) => it.equals(key))) continue;
      yield finding('KEY', showKey(key), 'a record of no known kind');
    }
  }
}

export async function* entriesOf(reader: KVReader, range: KVRange) {
  for await (const entries of reader.iterate(range)) yield* entries;
}
