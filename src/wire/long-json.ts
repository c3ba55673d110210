/** Parses long JSON texts part by part. See `json-outline.ts`. */

import { findRounded, toPlainInteger } from './exact-integers.ts';
import { refuse } from './faults.ts';
import {
  demandNothing,
  type LongJson,
  notJson,
  type OutlineLimits,
  outline,
  type Part,
  PIECE_BYTES,
  tooLongAValue,
} from './json-outline.ts';
import type { Steps } from './steps.ts';

/**
 * JSON as text or, if it is long, as bytes of UTF-8, since decoding them would block for too long.
 */
export type JsonText = string | Buffer;

/** A parsed value, or a long one that is not parsed yet. */
export type Json = { value: unknown } | LongJson;

/** Most values in one SQL value, which is parsed as a whole: more would block other clients. */
export const WHOLE_VALUES_MAX = 250_000;
/** Most of them that are members of objects, whose names take ten times as long. */
export const WHOLE_NAMED_MAX = 50_000;

/** Of an integer, in the error that its sender gets. */
const SHOWN_DIGITS = 40;

/** `pieceBytes` defaults to `PIECE_BYTES`; then `valueBytes` must be at least that. */
export type ReadLimits = Omit<OutlineLimits, 'pieceBytes'> & { pieceBytes?: number };

export function isLongText(text: JsonText): boolean {
  return text.length > PIECE_BYTES;
}

/** Whether it may be parsed without a scan. */
export function isShort({ length }: JsonText, limits: ReadLimits): boolean {
  // A value takes a character at least.
  return length <= (limits.pieceBytes ?? PIECE_BYTES) && length <= limits.valuesPerMessage;
}

/** @throws SyncError MESSAGE_ERROR */
export function parseShort(text: JsonText): { value: unknown } {
  return { value: parse(text.toString()) };
}

/** @throws SyncError MESSAGE_ERROR, TOO_LARGE */
export function* readJson(text: JsonText, limits: ReadLimits): Steps<Json> {
  if (isShort(text, limits)) return parseShort(text);
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const { valuesPerMessage, valueBytes, pieceBytes = PIECE_BYTES } = limits;
  const long = yield* outline(bytes, { valuesPerMessage, valueBytes, pieceBytes });
  return long ?? parseShort(bytes);
}

/** @throws SyncError MESSAGE_ERROR */
function parse(text: string, where = ''): unknown {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    // V8's message has the place, and quotes at most a few characters of the input.
    const why = error instanceof Error ? error.message.slice(0, 200) : 'it cannot be parsed';
    throw notJson(`${where}${why}`, error);
  }
  const rounded = findRounded(text);
  if (rounded !== undefined) {
    const [shown, plain] = [rounded, toPlainInteger(rounded)].map((it) =>
      it.slice(0, SHOWN_DIGITS),
    );
    refuse(
      '',
      `${where}must hold no integer that a double can't hold, as ${shown}: write {"__bigint":"${plain}"}`,
    );
  }
  return parsed;
}

function parseRun(long: LongJson, { from, to }: Part): object {
  // Only a part of one member is longer than a piece.
  demandShort(long, from, to);
  const text = inBrackets(long.source.subarray(from, to), long.isArray ? '[]' : '{}');
  const where = `between the positions ${from} and ${to}: `;
  // The brackets make it an array or object.
  const members = parse(text, where) as object;
  // One of several parts is empty only if there is a comma too many.
  if (long.parts.length > 1 && isEmpty(members)) throw notJson(`${where}a comma too many`);
  return members;
}

/** @throws SyncError TOO_LARGE if the range is longer than a value may be */
function demandShort({ valueBytes }: LongJson, from: number, to: number, place?: string): void {
  if (to - from <= valueBytes) return;
  throw tooLongAValue(valueBytes, place ?? `between the positions ${from} and ${to}`);
}

/** Puts brackets around bytes. This is quicker than putting them around a decoded text. */
export function inBrackets(run: Buffer, brackets: '[]' | '{}'): string {
  const bytes = Buffer.allocUnsafe(run.length + 2);
  bytes.write(brackets);
  run.copy(bytes, 1);
  bytes.write(brackets.slice(1), run.length + 1);
  return bytes.toString();
}

function isEmpty(members: object): boolean {
  for (const _name in members) return false;
  return true;
}

/** The members of a long array, one run of parsed members after the other, or a long one alone. */
export function* arrayParts(array: LongJson): Generator<unknown[] | LongJson> {
  const { source, parts } = array;
  for (const part of parts) {
    const { from, to, long } = part;
    if (long === undefined) yield parseRun(array, part) as unknown[];
    else {
      demandNothing(source, from, long.from);
      demandNothing(source, long.to, to);
      yield long;
    }
  }
}

/**
 * The members of a long object. Of several with one name the last counts.
 * @param names the names to read. Default: all
 */
export function* objectMembers(
  object: LongJson,
  names?: ReadonlySet<string>,
): Steps<Map<string, Json>> {
  const { source, parts } = object;
  const members = new Map<string, Json>();
  for (const part of parts) {
    const { from, to, long } = part;
    if (long === undefined) {
      for (const [name, value] of Object.entries(parseRun(object, part))) {
        if (names?.has(name) !== false) members.set(name, { value });
      }
    } else {
      demandNothing(source, long.to, to);
      // Before a long value there are its name and a colon, or it is not JSON.
      demandShort(object, from, long.from);
      const named = parse(`{${source.toString('utf8', from, long.from)}null}`) as object;
      for (const name of Object.keys(named)) {
        if (names?.has(name) !== false) members.set(name, long);
      }
    }
    yield;
  }
  return members;
}

/**
 * Parses all of a value.
 * @throws SyncError MESSAGE_ERROR if it has too many members; TOO_LARGE if it is too long
 */
export function* wholeOf(json: Json, place: string): Steps<unknown> {
  if ('value' in json) return json.value;
  demandShort(json, json.from, json.to, place);
  if (json.isArray) return yield* valuesOf(json, place);
  demandFew(json, place);
  const object = {};
  for (const [name, member] of yield* objectMembers(json)) {
    const value = yield* wholeOf(member, place);
    // Like JSON.parse, also for a name such as `__proto__`.
    Object.defineProperty(object, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return object;
}

/**
 * Parses the members of a long list of values. Each may be as long as a value may be.
 * @throws SyncError as `wholeOf`
 */
export function* valuesOf(list: LongJson, place: string): Steps<unknown[]> {
  demandFew(list, place);
  const values: unknown[] = [];
  for (const part of arrayParts(list)) {
    if (Array.isArray(part)) for (const member of part) values.push(member);
    else values.push(yield* wholeOf(part, place));
    yield;
  }
  return values;
}

function demandFew({ values, named }: LongJson, place: string): void {
  if (values > WHOLE_VALUES_MAX) refuse(place, `has more than ${WHOLE_VALUES_MAX} members`);
  if (named > WHOLE_NAMED_MAX) {
    refuse(place, `has more than ${WHOLE_NAMED_MAX} members of objects`);
  }
}
