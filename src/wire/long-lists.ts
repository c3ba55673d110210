/** Writes the JSON of an object with long lists, such as all that a batch holds, in steps. */

import { type Steps, Stretch } from './steps.ts';

/** Characters that take as long to write as one change. */
const CHARS_A_CHANGE = 4000;

/**
 * @param members the other members, which come first
 * @param lists by their names
 * @returns pieces of UTF-8
 */
export function* stringifyLists(
  members: object,
  lists: Readonly<Record<string, Iterable<unknown> | undefined>>,
): Steps<Buffer[]> {
  const pieces: Buffer[] = [];
  const stretch = new Stretch();
  let text = JSON.stringify(members).slice(0, -1);
  for (const [name, list] of Object.entries(lists)) {
    if (list === undefined) continue;
    let separator = `${text === '{' ? '' : ','}${JSON.stringify(name)}:[`;
    for (const item of list) {
      const json = JSON.stringify(item);
      text += separator + json;
      separator = ',';
      if (!stretch.ends(1 + json.length / CHARS_A_CHANGE)) continue;
      pieces.push(Buffer.from(text));
      text = '';
      yield;
    }
    text += separator === ',' ? ']' : `${separator}]`;
  }
  pieces.push(Buffer.from(`${text}}`));
  return pieces;
}
