/**
 * Finds the parts of a long JSON text, so that it can be parsed in steps, and only once its values
 * have been counted. One pass over the bytes, which allocates nothing for them.
 *
 * An object or array of more than `PIECE_BYTES` becomes a list of parts. Each is a run of members
 * that are parsed together, or one member that is long itself. Brackets and strings around the runs
 * are checked here, the runs when they are parsed.
 */

import { SyncError } from '../errors/sync-error.ts';
import type { Steps } from './steps.ts';

/** The most bytes that are parsed at once, by default. */
export const PIECE_BYTES = 256 * 1024;
/** The bytes that one step scans. */
export const STEP_BYTES = 2 * 1024 * 1024;
/** Far deeper than a value may be, see `values.ts`. */
const DEPTH_MAX = 1000;

/** An object or array that is too long to be parsed at once. */
export interface LongJson {
  source: Buffer;
  isArray: boolean;
  /** The index of its opening bracket. */
  from: number;
  /** The index after its closing bracket. */
  to: number;
  parts: Part[];
  /** The number of its members; 1 if it has none. */
  length: number;
  /** About the number of values in it, at any depth: its commas and brackets. */
  values: number;
  /** About how many of them are members of objects, and so have names. */
  named: number;
  /** See `OutlineLimits`. */
  valueBytes: number;
}

export interface OutlineLimits {
  /** Most values in the whole text. */
  valuesPerMessage: number;
  /** Most bytes of a value, or of the name of one. */
  valueBytes: number;
  /** Longer objects and arrays become lists of parts. */
  pieceBytes: number;
}

/** A run of members with the commas between them, or one long member. */
export interface Part {
  from: number;
  to: number;
  long?: LongJson;
}

/** An object or array that has not ended yet. */
interface Open {
  isArray: boolean;
  from: number;
  /** The number of values before it, and of those with names. */
  valuesBefore: number;
  namedBefore: number;
  length: number;
  runFrom: number;
  memberFrom: number;
  /** The value of the current member, if that is long. */
  long: LongJson | undefined;
  parts: Part[];
}

const QUOTE = 0x22;
const COMMA = 0x2c;
export const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
export const CLOSE_ARRAY = 0x5d;
export const OPEN_OBJECT = 0x7b;
export const CLOSE_OBJECT = 0x7d;

/**
 * @returns the long object or array; `undefined` for any other text
 * @throws SyncError MESSAGE_ERROR, TOO_LARGE
 */
export function* outline(bytes: Buffer, limits: OutlineLimits): Steps<LongJson | undefined> {
  const scan = new Scan(bytes, limits);
  while (!scan.goOn(STEP_BYTES)) {
    refuseOverLimit(scan.values, limits.valuesPerMessage);
    yield;
  }
  refuseOverLimit(scan.values, limits.valuesPerMessage);
  const { long } = scan;
  if (long === undefined) {
    if (bytes.length > limits.valueBytes) throw tooLongAValue(limits.valueBytes);
    return undefined;
  }
  demandNothing(bytes, 0, long.from);
  demandNothing(bytes, long.to, bytes.length);
  return long;
}

class Scan {
  readonly #bytes: Buffer;
  readonly #pieceBytes: number;
  readonly #valueBytes: number;
  /** Its objects are used again, since there are many short arrays and objects. */
  readonly #stack: Open[] = [];
  #depth = 0;
  #at = 0;
  values = 1;
  #named = 0;
  /** The whole text, if it is a long object or array; set at the end. */
  long: LongJson | undefined;

  constructor(bytes: Buffer, { pieceBytes, valueBytes }: OutlineLimits) {
    this.#bytes = bytes;
    this.#pieceBytes = pieceBytes;
    this.#valueBytes = valueBytes;
  }

  /** Scans about so many bytes more. @returns whether the scan is complete */
  goOn(stepBytes: number): boolean {
    const bytes = this.#bytes;
    const stepEnd = Math.min(bytes.length, this.#at + stepBytes);
    let at = nextMark(bytes, this.#at, stepEnd);
    let open = this.#stack[this.#depth - 1];
    for (; at < stepEnd; at = nextMark(bytes, at + 1, stepEnd)) {
      const mark = bytes[at];
      if (mark === COMMA) {
        if (open === undefined) throw notJson(`a comma at position ${at}`);
        this.values++;
        if (!open.isArray) this.#named++;
        open.length++;
        endMember(open, at, this.#pieceBytes);
      } else if (mark === OPEN_ARRAY || mark === OPEN_OBJECT) {
        this.values++;
        open = this.#begin(at);
      } else {
        open = this.#end(at);
        if (open === undefined) return true;
      }
    }
    this.#at = at;
    if (at < bytes.length) return false;
    if (open !== undefined) throw notJson('it ends within an object, array or string');
    return true;
  }

  #begin(at: number): Open {
    const depth = this.#depth++;
    if (depth === DEPTH_MAX) {
      throw new SyncError('MESSAGE_ERROR', `the message is nested deeper than ${DEPTH_MAX} levels`);
    }
    const open = this.#stack[depth] ?? newOpen();
    this.#stack[depth] = open;
    open.isArray = this.#bytes[at] === OPEN_ARRAY;
    open.from = at;
    open.valuesBefore = this.values;
    open.namedBefore = this.#named;
    if (!open.isArray) this.#named++;
    open.length = 1;
    open.runFrom = at + 1;
    open.memberFrom = at + 1;
    open.long = undefined;
    return open;
  }

  /** @returns the object or array around the one that has ended; `undefined` at the outermost */
  #end(at: number): Open | undefined {
    const ended = this.#stack[this.#depth - 1];
    const isArray = this.#bytes[at] === CLOSE_ARRAY;
    if (this.#depth === 0 || ended?.isArray !== isArray) {
      throw notJson(`a bracket that closes nothing at position ${at}`);
    }
    this.#depth--;
    const open = this.#depth === 0 ? undefined : this.#stack[this.#depth - 1];
    if (at + 1 - ended.from <= this.#pieceBytes) return open;
    const long = this.#takeApart(ended, at);
    if (open === undefined) this.long = long;
    else open.long = long;
    return open;
  }

  #takeApart(ended: Open, at: number): LongJson {
    endMember(ended, at, this.#pieceBytes);
    const { isArray, from, length, parts, runFrom } = ended;
    if (runFrom <= at) parts.push({ from: runFrom, to: at });
    ended.parts = [];
    const values = this.values - ended.valuesBefore;
    const named = this.#named - ended.namedBefore;
    const counts = { length, values, named, valueBytes: this.#valueBytes };
    return { source: this.#bytes, isArray, from, to: at + 1, parts, ...counts };
  }
}

function refuseOverLimit(values: number, valuesMax: number): void {
  if (values <= valuesMax) return;
  throw new SyncError(
    'TOO_LARGE',
    `more than limits.valuesPerMessage (${valuesMax}) values in one message`,
    { limit: 'limits.valuesPerMessage' },
  );
}

/** @param place where the value is, if that is known */
export function tooLongAValue(valueBytes: number, place = ''): SyncError {
  const what = `more than limits.valueBytes (${valueBytes}) bytes in one value`;
  return new SyncError('TOO_LARGE', place === '' ? what : `${place}: ${what}`, {
    limit: 'limits.valueBytes',
  });
}

/**
 * The index of the next comma or bracket outside of strings; `to` or more, if there is none before
 * `to`. It handles every byte, so it calls no function for one.
 */
export function nextMark(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  for (; at < to; at++) {
    const byte = bytes[at];
    if (byte === COMMA) return at;
    if (byte === QUOTE) {
      for (at++; at < bytes.length; at++) {
        const inside = bytes[at];
        if (inside === QUOTE) break;
        if (inside === BACKSLASH) at++;
      }
    } else if (byte === OPEN_ARRAY || byte === CLOSE_ARRAY) return at;
    else if (byte === OPEN_OBJECT || byte === CLOSE_OBJECT) return at;
  }
  return at;
}

function newOpen(): Open {
  const before = { valuesBefore: 0, namedBefore: 0 };
  const counts = { ...before, from: 0, length: 0, runFrom: 0, memberFrom: 0 };
  return { ...counts, isArray: false, long: undefined, parts: [] };
}

/** @param to the index of the comma or bracket after the member */
function endMember(open: Open, to: number, pieceBytes: number): void {
  const { long, memberFrom, runFrom } = open;
  open.memberFrom = to + 1;
  if (long === undefined && to - runFrom <= pieceBytes) return;
  let from = runFrom;
  if ((long !== undefined || to - memberFrom > pieceBytes) && memberFrom > runFrom) {
    open.parts.push({ from, to: memberFrom - 1 });
    from = memberFrom;
  }
  open.parts.push(long === undefined ? { from, to } : { from, to, long });
  open.long = undefined;
  open.runFrom = to + 1;
}

/** @throws SyncError MESSAGE_ERROR if there is anything but white space */
export function demandNothing(bytes: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; at++) {
    const byte = bytes[at];
    if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) continue;
    throw notJson(`an unexpected character at position ${at}`);
  }
}

export function notJson(why: string, cause?: unknown): SyncError {
  return new SyncError('MESSAGE_ERROR', `not valid JSON: ${why}`, { cause });
}
