/** Checks head, site id, horizon, catalog, and the records of sites, log pins and held rows. */

import { Type } from 'typebox';
import { compareHlc, HLC_BYTES, HLC_MIN, type HlcText, isHlcText } from '../clock/hlc.ts';
import { hlcSite, isSiteIdText, type SiteIdText, siteIdToText } from '../clock/site-id.ts';
import type { Head } from '../engine/records/head.ts';
import { isListed } from '../engine/records/held-floor.ts';
import { heldBytesBySite, heldRowFromJson } from '../engine/records/held-rows.ts';
import {
  floorKeyToListed,
  HEAD_KEY,
  HORIZON_KEY,
  heldKeyToTable,
  kindRange,
  logPinKeyToName,
  REPLACED_KEY,
  SITE_KEY,
} from '../engine/records/keys.ts';
import { isOfClock } from '../engine/records/position-clock.ts';
import {
  HeadSchema,
  HeldRowSchema,
  LOG_PIN_NAME,
  LogPinSchema,
  SiteStateSchema,
} from '../engine/records/record-schemas.ts';
import { bytesToText } from '../engine/records/row.ts';
import type { Catalog } from '../engine/tables/catalog.ts';
import { FORMAT_KEY } from '../storage/format.ts';
import type { KVReader } from '../storage/kv-store.ts';
import { type Finding, finding, showKey } from './findings.ts';
import { entriesOf, parseAs } from './records.ts';
import { verifyCatalog } from './verify-catalog.ts';

/** Its kind, and the site id. */
const SITE_KEY_BYTES = 17;
/** With an HLC between them. */
const FLOOR_KEY_BYTES = SITE_KEY_BYTES + HLC_BYTES;
const FormatSchema = Type.Object({ format: Type.Integer(), databaseId: Type.String() });

export interface Meta {
  head: Head | undefined;
  site: SiteIdText | undefined;
  horizon: HlcText;
  /** `undefined` if part of it is unreadable: then log and rows can't be compared. */
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
  if (head !== undefined && !isOfClock(head.position)) {
    yield finding('META', 'm head', `${head.position} is later than any clock can be`);
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
  const catalog = yield* verifyCatalog(reader, head?.nextTable);
  yield* verifySites(reader);
  yield* verifyLogPins(reader, head, site);
  yield* verifyHeld(reader, head, catalog);
  yield* verifyHeldFloors(reader, head);
  yield* verifyKeys(reader);
  return { head, site, horizon, catalog };
}

function stateOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'is missing' : 'cannot be read';
}

async function* verifySites(reader: KVReader): AsyncGenerator<Finding> {
  for await (const [key, value] of entriesOf(reader, kindRange('s'))) {
    if (key.length !== SITE_KEY_BYTES)
      yield finding('SITE', showKey(key), 'is not the key of a site');
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

/** Checks held rows, and the counts of their sizes. */
async function* verifyHeld(
  reader: KVReader,
  head: Head | undefined,
  catalog: Catalog | undefined,
): AsyncGenerator<Finding> {
  let bytes = 0;
  const ofSites = new Map<SiteIdText, number>();
  for await (const [key, value] of entriesOf(reader, kindRange('h'))) {
    const held = parseAs(HeldRowSchema, value);
    if (held === undefined) {
      yield finding('META', showKey(key), 'cannot be read');
      continue;
    }
    if (catalog !== undefined && catalog.table(heldKeyToTable(Buffer.from(key))) === undefined) {
      yield finding('META', showKey(key), 'is a held row of a table that is not there');
    }
    for (const [site, more] of heldBytesBySite(heldRowFromJson(held))) {
      bytes += more;
      ofSites.set(site, (ofSites.get(site) ?? 0) + more);
    }
  }
  const { heldBytes = 0 } = head ?? { heldBytes: bytes };
  if (heldBytes !== bytes) {
    const what = `counts ${heldBytes} bytes of held rows, and there are ${bytes}`;
    yield finding('META', 'm head', what);
  }
  for await (const [key, value] of entriesOf(reader, kindRange('s'))) {
    if (key.length !== SITE_KEY_BYTES) continue;
    const site = siteIdToText(key.subarray(1));
    const counted = parseAs(SiteStateSchema, value)?.heldBytes ?? 0;
    const there = ofSites.get(site) ?? 0;
    ofSites.delete(site);
    if (counted === there) continue;
    yield finding('SITE', `site ${site}`, `counts ${counted} bytes of held rows, not ${there}`);
  }
  for (const [site, there] of ofSites) {
    yield finding('SITE', `site ${site}`, `counts 0 bytes of held rows, not ${there}`);
  }
}

/** Checks held floors, and the list of them. */
async function* verifyHeldFloors(
  reader: KVReader,
  head: Head | undefined,
): AsyncGenerator<Finding> {
  const listed = new Set<string>();
  for await (const [key, value] of entriesOf(reader, kindRange('s'))) {
    const floor = parseAs(SiteStateSchema, value)?.floor;
    if (floor === undefined || key.length !== SITE_KEY_BYTES) continue;
    const site = siteIdToText(key.subarray(1));
    if (isListed(floor)) listed.add(`${floor.hlc} ${site}`);
    if (head !== undefined && compareHlc(floor.hlc, head.heldFloor ?? HLC_MIN) > 0) {
      yield finding('META', 'm head', `says that no site holds anything as new as ${floor.hlc}`);
    }
  }
  const { listedFloors = 0 } = head ?? { listedFloors: listed.size };
  if (listedFloors !== listed.size) {
    const what = `counts ${listedFloors} floors that are listed, and there are ${listed.size}`;
    yield finding('META', 'm head', what);
  }
  for await (const [key] of entriesOf(reader, kindRange('f'))) {
    if (key.length !== FLOOR_KEY_BYTES) {
      yield finding('SITE', showKey(key), 'is not the key of a floor');
      continue;
    }
    const { hlc, site } = floorKeyToListed(key);
    if (listed.delete(`${hlc} ${site}`)) continue;
    yield finding('SITE', `site ${site}`, `is listed with the floor ${hlc}, which it has not`);
  }
  for (const floor of listed) yield finding('SITE', `floor ${floor}`, 'is not listed');
}

/** The kinds of records, except `m`, whose few keys are known. */
const KINDS = 'cdefghlnprst';

/**
 * Reports keys of unknown kinds, by reading only the ranges between the known kinds. Keys that
 * begin with the byte 0 are the storage layer's own, and are not checked.
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
