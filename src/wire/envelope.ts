/**
 * An object of the protocol without the members of its lists. It is checked before those are, and
 * before a long list is parsed.
 */

import type { LongJson } from './json-outline.ts';
import { type Json, objectMembers, wholeOf } from './long-json.ts';
import type { Steps } from './steps.ts';

/** A list: parsed, or too long to be parsed at once. */
export type List = unknown[] | LongJson;

const NO_LISTS: ReadonlyMap<string, LongJson> = new Map();

export class Envelope {
  /**
   * The object. If it was too long to be parsed at once it has only known names, and its long lists
   * are empty.
   */
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
   * @param names the names of the protocol; others are not read
   * @param listNames those of them that are lists
   */
  static *read(
    json: Json,
    place: string,
    names: ReadonlySet<string>,
    listNames: readonly string[] = [],
  ): Steps<Envelope> {
    if ('value' in json) return Envelope.ofParsed(json.value);
    // An array is no object, whatever is in it: any array will be refused.
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

  /** One of its lists, once the envelope has been checked; empty if an optional list is missing. */
  list(name: string): List {
    const value: unknown = this.#lists.get(name) ?? Reflect.get(Object(this.value), name);
    if (value === undefined) return [];
    return value as List;
  }
}
