/** Finds a short text in a JSON object without parsing the rest, which may be too large, or no JSON. */

import {
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  nextMark,
  OPEN_ARRAY,
  OPEN_OBJECT,
  PIECE_BYTES,
  STEP_BYTES,
} from './json-outline.ts';
import type { JsonText } from './long-json.ts';
import type { Steps } from './steps.ts';

const SPACE = 0x20;

/** @returns of several members with the name the last; `undefined` if none is a text */
export function* findText(text: JsonText, name: string): Steps<string | undefined> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const start = Buffer.from(JSON.stringify(name));
  let found: string | undefined;
  let depth = 0;
  let from = 0;
  let at = 0;
  while (at < bytes.length) {
    const stepEnd = Math.min(bytes.length, at + STEP_BYTES);
    for (at = nextMark(bytes, at, stepEnd); at < stepEnd; at = nextMark(bytes, at + 1, stepEnd)) {
      const mark = bytes[at];
      if (depth === 0 && mark !== OPEN_OBJECT) return undefined;
      if (mark === OPEN_ARRAY || mark === OPEN_OBJECT) {
        if (depth++ === 0) from = at + 1;
        continue;
      }
      if (depth === 1) {
        found = textAt(bytes, from, at, start) ?? found;
        from = at + 1;
      }
      if (mark === CLOSE_ARRAY || mark === CLOSE_OBJECT) depth--;
    }
    yield;
  }
  return found;
}

/** @param start the name, quoted */
function textAt(bytes: Buffer, from: number, to: number, start: Buffer): string | undefined {
  let at = from;
  while (at < to && (bytes[at] ?? 0) <= SPACE) at++;
  // Most members end here: nothing is allocated for them.
  if (bytes[at] !== start[0] || to - at < start.length || to - at > PIECE_BYTES) return undefined;
  if (bytes.compare(start, 0, start.length, at, at + start.length) !== 0) return undefined;
  try {
    const [value] = Object.values(JSON.parse(`{${bytes.toString('utf8', at, to)}}`));
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
