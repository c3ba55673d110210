/**
 * Reads and writes the JSON of a change set of ours in steps, since a transaction may be as long as
 * a message: without the checks of `long-json.ts`, which are for what clients send.
 */

import type { WireChangeSet } from '../protocol/schemas.ts';
import { type LongJson, outline, PIECE_BYTES } from './json-outline.ts';
import { inBrackets } from './long-json.ts';
import { stringifyLists } from './long-lists.ts';
import type { Steps } from './steps.ts';

const NO_LIMITS = {
  valuesPerMessage: Number.POSITIVE_INFINITY,
  valueBytes: Number.POSITIVE_INFINITY,
  pieceBytes: PIECE_BYTES,
};

export function* parseStored(json: Uint8Array): Steps<WireChangeSet> {
  const bytes = Buffer.from(json.buffer, json.byteOffset, json.byteLength);
  const long = bytes.length > PIECE_BYTES ? yield* outline(bytes, NO_LIMITS) : undefined;
  // It was written by `stringifyInSteps`, or as a change set that was checked.
  return long === undefined
    ? JSON.parse(bytes.toString())
    : ((yield* parseLong(long)) as WireChangeSet);
}

function* parseLong({ source, isArray, parts }: LongJson): Steps<object> {
  const list: unknown[] = [];
  const object = {};
  for (const { from, to, long } of parts) {
    if (long !== undefined && isArray) list.push(yield* parseLong(long));
    else if (long !== undefined) {
      const [name = ''] = Object.keys(JSON.parse(`{${source.toString('utf8', from, long.from)}0}`));
      define(object, name, yield* parseLong(long));
    } else {
      const run: unknown = JSON.parse(inBrackets(source.subarray(from, to), isArray ? '[]' : '{}'));
      if (Array.isArray(run)) for (const member of run) list.push(member);
      else for (const [name, value] of Object.entries(Object(run))) define(object, name, value);
    }
    yield;
  }
  return isArray ? list : object;
}

/** Like JSON.parse, also for a name such as `__proto__`. */
function define(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, {
    ...{ value, enumerable: true, configurable: true, writable: true },
  });
}

export function* stringifyInSteps(set: WireChangeSet): Steps<Uint8Array> {
  const { changes, schemaMigrations, ...rest } = set;
  return Buffer.concat(yield* stringifyLists(rest, { changes, schemaMigrations }));
}
