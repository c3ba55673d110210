/**
 * Where the parts of a long JSON text stand, so that it need not be parsed in one go, nor before it
 * is known how much there is of it. One pass over the bytes, which makes nothing of them.
 *
 * Only what is long is taken apart: an object or array of more than `PIECE_BYTES` is a list of
 * parts, each a run of members that are parsed together or one that is long itself. Whether a run
 * is JSON shows when it is parsed; the brackets and strings around the runs are looked at here.
 */

import { SyncError } from '../errors/sync-error.ts';
import type { Steps } from './steps.ts';

/** What is parsed in one go, unless told otherwise. */
export const PIECE_BYTES = 256 * 1024;
/** So much is looked through in one go. */
const STEP_BYTES = 2 * 1024 * 1024;
/** Far beyond what a value may have, see `values.ts`. */
const DEPTH_MAX = 1000;

/** An object or array that is too long for one go. */
export interface LongJson {
  source: Buffer;
  isArray: boolean;
  /** Where its bracket stands. */
  from: number;
  /** Behind its other bracket. */
  to: number;
  parts: Part[];
  /** How many members it has; one, if it has none. */
  length: number;
  /** About how many values are in it, at any depth: its commas and brackets. */
  values: number;
  /** How many of them are members of objects, about: each of them has a name to be kept. */
  named: number;
  /** So long may be what is parsed as one, see `OutlineLimits`. */
  valueBytes: number;
}

export interface OutlineLimits {
  /** Most values in all of it. */
  valuesPerMessage: number;
  /** Most bytes of a value, or of the name of one. */
  valueBytes: number;
  /** What is longer is taken apart. */
  pieceBytes: number;
}

/** Members that are parsed together, and the commas between them; or one, where that is long. */
export interface Part {
  from: number;
  to: number;
  long?: LongJson;
}

/** An object or array that has not ended yet. */
interface Open {
  isArray: boolean;
  from: number;
  /** Values that came before it, and those of them that have names. */
  valuesBefore: number;
  namedBefore: number;
  length: number;
  runFrom: number;
  memberFrom: number;
  /** What is long of the current member. */
  long: LongJson | undefined;
  parts: Part[];
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * @returns the object or array that it is; `undefined` for a short one, and for what is neither
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
  /** Short ones are many: the same objects serve again and again. */
  readonly #stack: Open[] = [];
  #depth = 0;
  #at = 0;
  values = 1;
  #named = 0;
  /** The whole, if it is long; once all has been looked at. */
  long: LongJson | undefined;

  constructor(bytes: Buffer, { pieceBytes, valueBytes }: OutlineLimits) {
    this.#bytes = bytes;
    this.#pieceBytes = pieceBytes;
    this.#valueBytes = valueBytes;
  }

  /** Looks at about so many bytes more. @returns whether nothing is left to be looked at */
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

  /** @returns what it is in; `undefined` if it was all that there is */
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

/** @param place where it stands, if that is known */
export function tooLongAValue(valueBytes: number, place = ''): SyncError {
  const what = `more than limits.valueBytes (${valueBytes}) bytes in one value`;
  return new SyncError('TOO_LARGE', place === '' ? what : `${place}: ${what}`, {
    limit: 'limits.valueBytes',
  });
}

/**
 * Where the next comma or bracket stands that is in no string; `to` or behind it, if there is none
 * before. All bytes pass here: nothing is called for one.
 */
function nextMark(bytes: Uint8Array, from: number, to: number): number {
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

/** @param to where the comma or the bracket behind it stands */
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

/** @throws SyncError MESSAGE_ERROR, unless there is nothing but white space */
export function demandNothing(bytes: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; at++) {
    const byte = bytes[at];
    if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) continue;
    throw notJson(`something that belongs to nothing at position ${at}`);
  }
}

export function notJson(why: string, cause?: unknown): SyncError {
  return new SyncError('MESSAGE_ERROR', `not valid JSON: ${why}`, { cause });
}
