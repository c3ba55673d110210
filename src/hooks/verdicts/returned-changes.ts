/**
 * Matches the changes that a hook returned with those that it was given. A returned change answers
 * a given one with the same HLC. Of several given under one HLC it answers the one at the same
 * place (table, key and column). If none is at its place, the hook has moved it there, and it
 * answers the first one that no other answers at its own place. Each given change is answered once.
 * A returned change that answers none was made up by the hook, and makes the verdict invalid. A
 * place may be returned under one HLC as often as it was given; a place that changes were moved to,
 * as often as the most frequent given place.
 */

import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { forEach, type Steps, Stretch } from '../../wire/steps.ts';
import { InvalidAnswer } from '../invalid-answer.ts';
import { foldName, foldSchema } from '../same-name.ts';

/** A change or a migration. */
export type WireItem = WireChange | WireMigration;

export function isChange(item: WireItem): item is WireChange {
  return item.type === 'column' || item.type === 'delete';
}

interface Given {
  item: WireItem;
  isAnswered: boolean;
}

export class GivenBack {
  readonly #given: Given[] = [];
  readonly #givenByItem = new Map<WireItem, Given>();
  readonly #answered = new Map<WireItem, Given>();

  /**
   * @param given the change sets before the hook could change them
   * @param back the returned ones; an unchanged change set is the same object as in `given`
   * @throws InvalidAnswer
   */
  *match(given: readonly WireChangeSet[], back: readonly WireChangeSet[]): Steps<void> {
    const untouched = new Set(given);
    yield* forEach(given.flatMap(itemsOf), (item) => this.#addGiven(item));
    const seen = new Set<WireChangeSet>();
    const touched: WireItem[][] = [];
    for (const set of back) {
      if (!untouched.has(set)) touched.push(itemsOf(set));
      else if (seen.has(set)) throw new InvalidAnswer('a change set comes a second time');
      else for (const item of itemsOf(set)) this.#answer(this.#givenByItem.get(item), item);
      seen.add(set);
    }
    const givenByHlc = yield* groupBy(this.#given, ({ item }) => item.hlc);
    const touchedByHlc = yield* groupBy(touched.flat(), (item) => item.hlc);
    const stretch = new Stretch();
    for (const [hlc, items] of touchedByHlc) {
      yield* this.#matchOne(givenByHlc.get(hlc) ?? [], items, stretch);
      if (stretch.ends()) yield;
    }
  }

  /** The given item that a returned one answers. */
  originalOf(item: WireItem): WireItem | undefined {
    return this.#answered.get(item)?.item;
  }

  isAnswered = (given: WireItem): boolean => this.#givenByItem.get(given)?.isAnswered ?? false;

  #addGiven(item: WireItem): void {
    const entry = { item, isAnswered: false };
    this.#givenByItem.set(item, entry);
    this.#given.push(entry);
  }

  #answer(given: Given | undefined, item: WireItem): void {
    if (given === undefined) return;
    given.isAnswered = true;
    this.#answered.set(item, given);
  }

  /** Matches the items of one HLC. Nearly always there is one of each. */
  *#matchOne(given: readonly Given[], items: readonly WireItem[], stretch: Stretch): Steps<void> {
    const [one] = given;
    const [item] = items;
    if (one === undefined || item === undefined) throw answersNone(item);
    if (given.length === 1 && items.length === 1 && !one.isAnswered) {
      this.#answer(one, item);
      return;
    }
    const places = yield* groupBy(given, (entry) => placeOf(entry.item));
    const times = [...places.values()].reduce((most, { length }) => Math.max(most, length), 0);
    // From the end, so that each takes the first one that is left.
    for (const entries of places.values()) entries.reverse();
    const moved: WireItem[] = [];
    const takePlace = (back: WireItem) => {
      const entries = places.get(placeOf(back));
      const entry = entries && unanswered(entries);
      if (entry !== undefined) this.#answer(entry, back);
      else if (entries !== undefined) throw comesTwice(back);
      else moved.push(back);
    };
    yield* forEach(items, takePlace, stretch);
    const movedTo = new Map<string, number>();
    const left = given.toReversed();
    const takeAny = (back: WireItem) => {
      const place = placeOf(back);
      const before = movedTo.get(place) ?? 0;
      if (before === times) throw comesTwice(back);
      movedTo.set(place, before + 1);
      const entry = unanswered(left);
      if (entry === undefined) throw answersNone(back);
      this.#answer(entry, back);
    };
    yield* forEach(moved, takeAny, stretch);
  }
}

/** Takes the last one off a list that is not answered. */
function unanswered(left: Given[]): Given | undefined {
  let entry = left.pop();
  while (entry?.isAnswered) entry = left.pop();
  return entry;
}

function* groupBy<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
): Steps<Map<string, Item[]>> {
  const groups = new Map<string, Item[]>();
  const add = (item: Item) => {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  };
  yield* forEach(items, add);
  return groups;
}

export function itemsOf({ changes, schemaMigrations }: WireChangeSet): WireItem[] {
  return [...changes, ...schemaMigrations];
}

/** A text for the place of a change, with names as clients compare them. */
function placeOf(item: WireItem): string {
  const { type, schema, table } = item;
  const where = [foldSchema(schema), foldName(table)];
  if (!isChange(item)) return JSON.stringify([type, ...where]);
  const column = item.type === 'column' ? foldName(item.column) : 0;
  return JSON.stringify([...where, pkIdentity(item.pk), column]);
}

/**
 * Whether an answer replaces the change that it answers: it is at the same place, or deletes the
 * row of the cell.
 */
export function isReplacedBy(given: WireItem, back: WireItem): boolean {
  if (!isChange(given) || !isChange(back)) return isChange(given) === isChange(back);
  const { schema, table, pk } = given;
  const isWide = back.type === 'delete' && given.type === 'column';
  return placeOf(isWide ? { ...back, ...{ schema, table, pk } } : given) === placeOf(back);
}

function describe(item: WireItem | undefined): string {
  return `a change of table ${JSON.stringify(item?.table)}`;
}

function answersNone(item: WireItem | undefined): InvalidAnswer {
  const why = 'answers none of the batch: none has its HLC, or others answer all of those already';
  return new InvalidAnswer(`${describe(item)} ${why}`);
}

function comesTwice(item: WireItem): InvalidAnswer {
  return new InvalidAnswer(`${describe(item)} comes a second time under one HLC`);
}
