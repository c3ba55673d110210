/**
 * Checks and copies the change sets in a hook's answer. Every member is read once, so what was
 * checked is what is used, even if getters return something else later, or the hook changes its
 * objects.
 */

import { encodeHlc, type Hlc } from '../../clock/hlc.ts';
import { SITE_ID_BYTES, siteIdToText } from '../../clock/site-id.ts';
import { MIGRATION_TYPES, type MigrationType, NAME_LENGTH_MAX } from '../../protocol/constants.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import {
  type Change,
  encodeChange,
  encodeMigration,
  type SchemaMigration,
} from '../../protocol/types.ts';
import { decodeValue, encodeValue, type SqlValue, valueFault } from '../../protocol/values.ts';
import { untouchedOrigin } from '../../wire/lazy-change-set.ts';
import { type Steps, Stretch } from '../../wire/steps.ts';
import { demand, isObject } from '../invalid-answer.ts';

/** Copies a list. A gap is read as `undefined`, which `read` refuses. */
export function* readList<Item>(
  list: readonly unknown[],
  path: string,
  read: (item: unknown, path: string) => Item,
  stretch = new Stretch(),
): Steps<Item[]> {
  const items: Item[] = [];
  // Not copied: it may be of any length, with one gap. The hook may add to its own list meanwhile.
  const { length } = list;
  for (let i = 0; i < length; i++) {
    items.push(read(list[i], `${path}[${i}]`));
    if (stretch.ends()) yield;
  }
  return items;
}

/** `undefined` for anything but a site id. */
export function copySiteId(value: unknown): Uint8Array | undefined {
  if (!(value instanceof Uint8Array)) return undefined;
  const copy = new Uint8Array(value);
  return copy.byteLength === SITE_ID_BYTES ? copy : undefined;
}

const WALL_TIME_MAX = 2n ** 64n - 1n;

function isUint(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
}

function readHlc(value: unknown, path: string): Hlc {
  const { wallTime, counter, siteId, opSeq } = isObject(value) ? value : {};
  const site = copySiteId(siteId);
  const isHlc =
    typeof wallTime === 'bigint' &&
    wallTime >= 0n &&
    wallTime <= WALL_TIME_MAX &&
    isUint(counter, 0xffff) &&
    isUint(opSeq, 0xffffffff) &&
    site !== undefined;
  demand(isHlc, `${path} is an HLC`);
  return { wallTime, counter, siteId: site, opSeq };
}

/** Applies the limits for clients: they send back what is stored, and that must be accepted. */
function readName(value: unknown, path: string): string {
  demand(typeof value === 'string', `${path} is a string`);
  const isShort = value.length <= NAME_LENGTH_MAX;
  demand(isShort, `${path} is a string of at most ${NAME_LENGTH_MAX} characters`);
  return value;
}

/** Copies a value that can be stored and sent, in the form in which clients will get it. */
function readValue(value: unknown, path: string): SqlValue {
  if (value instanceof Uint8Array) return new Uint8Array(value);
  const encoded = typeof value === 'bigint' ? encodeValue(value) : value;
  demandCarried(encoded, path);
  const copy = decodeValue(typeof value === 'bigint' ? value : encoded);
  // `toJSON` may have made it into any other value.
  if (typeof encoded === 'object') demandCarried(encodeValue(copy), path);
  return copy;
}

function demandCarried(value: unknown, path: string): void {
  const fault = valueFault(value);
  demand(fault === undefined, `${path} ${fault}`);
}

export function readValues(values: unknown, path: string): SqlValue[] {
  demand(Array.isArray(values), `${path} is an array`);
  return Array.from(values, (value, i) => readValue(value, `${path}[${i}]`));
}

function readChange(answer: unknown, path: string): Change {
  demand(isObject(answer), `${path} is a change`);
  const { type, column, schema, table, pk, value, hlc } = answer;
  const { priorValue = null, priorHlc, priorRow } = answer;
  demand(
    type === 'delete' || (type === 'column' && typeof column === 'string'),
    `${path}.type is "column", with a column, or "delete"`,
  );
  const row = {
    schema: readName(schema, `${path}.schema`),
    table: readName(table, `${path}.table`),
    pk: readValues(pk, `${path}.pk`),
  };
  if (type === 'delete') {
    return {
      type,
      ...row,
      hlc: readHlc(hlc, `${path}.hlc`),
      ...(priorRow === undefined ? {} : { priorRow: readValues(priorRow, `${path}.priorRow`) }),
    };
  }
  return {
    type,
    ...row,
    column: readName(column, `${path}.column`),
    value: readValue(value, `${path}.value`),
    hlc: readHlc(hlc, `${path}.hlc`),
    ...readPriorValue(priorValue, priorHlc, path),
  };
}

function readPriorValue(priorValue: unknown, priorHlc: unknown, path: string) {
  if (priorHlc === undefined) return {};
  return {
    priorValue: readValue(priorValue, `${path}.priorValue`),
    priorHlc: readHlc(priorHlc, `${path}.priorHlc`),
  };
}

function isMigrationType(value: unknown): value is MigrationType {
  return MIGRATION_TYPES.some((type) => type === value);
}

function readMigration(answer: unknown, path: string): SchemaMigration {
  demand(isObject(answer), `${path} is a migration`);
  const { type, schema, table, fromTable, ddl, hlc, schemaVersion } = answer;
  demand(isMigrationType(type), `${path}.type is one of ${MIGRATION_TYPES.join(', ')}`);
  const isFromSaid = type !== 'rename_table' || fromTable !== undefined;
  demand(isFromSaid, `${path}.fromTable must say the old name`);
  demand(typeof ddl === 'string', `${path}.ddl is a string`);
  demand(isUint(schemaVersion, Number.MAX_SAFE_INTEGER), `${path}.schemaVersion is a whole number`);
  return {
    type,
    schema: readName(schema, `${path}.schema`),
    table: readName(table, `${path}.table`),
    ...(fromTable === undefined ? {} : { fromTable: readName(fromTable, `${path}.fromTable`) }),
    ddl,
    hlc: readHlc(hlc, `${path}.hlc`),
    schemaVersion,
  };
}

/** Reads change sets. One that the hook has not read is the one that it was made of. */
export function* readSets(list: readonly unknown[], path: string): Steps<WireChangeSet[]> {
  const sets: WireChangeSet[] = [];
  const stretch = new Stretch();
  const { length } = list;
  for (let i = 0; i < length; i++) {
    const answer = list[i];
    const at = `${path}[${i}]`;
    demand(isObject(answer), `${at} is a change set`);
    sets.push(untouchedOrigin(answer) ?? (yield* copyChangeSet(answer, at, stretch)));
    if (stretch.ends()) yield;
  }
  return sets;
}

function* copyChangeSet(
  answer: Record<string, unknown>,
  path: string,
  stretch: Stretch,
): Steps<WireChangeSet> {
  const { siteId, transactionId, hlc, changes, schemaMigrations } = answer;
  const site = copySiteId(siteId);
  demand(site !== undefined, `${path}.siteId is a Uint8Array of ${SITE_ID_BYTES} bytes`);
  const name = readName(transactionId, `${path}.transactionId`);
  const newest = readHlc(hlc, `${path}.hlc`);
  demand(Array.isArray(changes), `${path}.changes is an array`);
  demand(Array.isArray(schemaMigrations), `${path}.schemaMigrations is an array`);
  const copyChange = (item: unknown, at: string) => encodeChange(readChange(item, at));
  const copyMigration = (item: unknown, at: string) => encodeMigration(readMigration(item, at));
  const ddlPath = `${path}.schemaMigrations`;
  return {
    siteId: siteIdToText(site),
    transactionId: name,
    hlc: encodeHlc(newest),
    changes: yield* readList(changes, `${path}.changes`, copyChange, stretch),
    schemaMigrations: yield* readList(schemaMigrations, ddlPath, copyMigration, stretch),
  };
}
