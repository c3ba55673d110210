/**
 * An object of the protocol without the lists in it: it is looked at before any member of those is, and
 * before they are parsed, if they are long.
 */

import type { LongJson } from './json-outline.ts';
import { type Json, objectMembers, wholeOf } from './long-json.ts';
import type { Steps } from './steps.ts';

/** A list that is parsed, or is too long to be. */
export type List = unknown[] | LongJson;

const NO_LISTS: ReadonlyMap<string, LongJson> = new Map();

export class Envelope {
  /** The object itself if it was parsed; in any case with the names that matter. */
  readonly value: unknown;
  readonly #lists: ReadonlyMap<string, LongJson>;

  private constructor(value: unknown, lists: ReadonlyMap<string, LongJson>) {
    this.value = value;
    this.#lists = lists;
  }

  static ofParsed(value: unknown): Envelope {
    return new Envelope(value, NO_LISTS);
  }

  /**
   * @param names those of the protocol; others are not read
   * @param listNames those of its lists among them
   */
  static *read(
    json: Json,
    place: string,
    names: ReadonlySet<string>,
    listNames: readonly string[] = [],
  ): Steps<Envelope> {
    if ('value' in json) return Envelope.ofParsed(json.value);
    // Of what is no object it matters only that it is none.
    if (json.isArray) return new Envelope([], NO_LISTS);
    const fields: Record<string, unknown> = {};
    const lists = new Map<string, LongJson>();
    for (const [name, member] of yield* objectMembers(json, names)) {
      const isList = listNames.includes(name) && !('value' in member) && member.isArray;
      if (isList) lists.set(name, member);
      const here = place === '' ? name : `${place}.${name}`;
      fields[name] = isList ? [] : yield* wholeOf(member, here);
    }
    return new Envelope(fields, lists);
  }

  /** One of its lists, which the envelope has been found to have; empty, if it may be missing and is. */
  list(name: string): List {
    const value: unknown = this.#lists.get(name) ?? Reflect.get(Object(this.value), name);
    if (value === undefined) return [];
    return value as List;
  }
}
