/**
 * What names mean, by the DDL that is known, carried out in the order of its HLCs: in whatever order it
 * came, the result is the same.
 *
 * - A drop is a floor: nothing up to its HLC counts. What is newer is held, and is not shown until the
 *   table is made again.
 * - A name whose table went on under another name leads to that table still, until the name is used
 *   again: who has not heard of the rename goes on with the same table.
 */

import { compareHlc, HLC_MAX, HLC_MIN, type HlcText, maxHlc } from '../../../../src/clock/hlc.ts';
import { memberOf } from '../maps.ts';
import type { Migration } from '../protocol/messages.ts';
import { tableKeyOf } from './entries.ts';

/** A table goes by another name from `at` on. */
interface Step {
  key: string;
  at: HlcText;
}

interface Name {
  made: HlcText;
  floor: HlcText;
  to?: Step | undefined;
  /** What the name meant up to an HLC; nothing where no step is there. */
  past: [until: HlcText, to?: Step | undefined][];
}

export class Catalog {
  readonly #names = new Map<string, Name>();
  /** HLCs of drops and renames that found their table. */
  readonly effects = new Set<HlcText>();

  constructor(migrations: Iterable<Migration> = []) {
    for (const each of byHlc(migrations)) this.#carryOut(each);
  }

  #name(key: string): Name {
    return memberOf(this.#names, key, () => ({ made: HLC_MIN, floor: HLC_MIN, past: [] }));
  }

  #carryOut(migration: Migration): void {
    const { type, schema, table, hlc } = migration;
    if (!isOfTable(migration)) return;
    const key = tableKeyOf(schema, table);
    const name = this.#name(key);
    const { to, past } = name;
    if (type === 'create_table') {
      name.made = hlc;
      if (to === undefined) return;
      past.push([hlc, to]);
      name.to = undefined;
      name.floor = HLC_MIN;
      return;
    }
    if (type === 'drop_table') {
      if (to !== undefined) return;
      name.floor = hlc;
    } else {
      const from = this.#name(fromKeyOf(migration));
      const isFree = to !== undefined || compareHlc(name.made, name.floor) <= 0;
      if (from.to !== undefined || isHidden(from) || !isFree || from === name) return;
      past.push(to === undefined ? [name.floor] : [hlc, to]);
      this.#names.set(key, { made: hlc, floor: from.floor, past });
      from.to = { key, at: hlc };
    }
    this.effects.add(hlc);
  }

  /**
   * Under which name that is which was written at `hlc` under this one; `undefined` if it does not count any
   * more.
   * @param at the time at which the name means its table
   */
  resolve(key: string, hlc: HlcText = HLC_MAX, at = hlc): string | undefined {
    const name = this.#names.get(key);
    if (name === undefined) return key;
    // Of a table that was dropped what is newer is its successor's, whichever of the two is meant.
    const past = name.past.find(([until, to]) => compareHlc(to ? at : maxHlc(at, hlc), until) < 0);
    const step = past === undefined ? name.to : past[1];
    if (step !== undefined) return this.resolve(step.key, hlc, step.at);
    return past !== undefined || compareHlc(hlc, name.floor) <= 0 ? undefined : key;
  }

  /** Up to which HLC nothing counts that is held under a name. */
  floorOf(key: string): HlcText {
    return this.#names.get(key)?.floor ?? HLC_MIN;
  }

  /** Whether the table of this very name was dropped, and not made again. */
  isHidden(key: string): boolean {
    const name = this.#names.get(key);
    return name !== undefined && isHidden(name);
  }
}

function isHidden({ made, floor, to }: Name): boolean {
  return to === undefined && compareHlc(made, floor) < 0;
}

export function byHlc(migrations: Iterable<Migration>): Migration[] {
  return [...migrations].sort((a, b) => compareHlc(a.hlc, b.hlc));
}

/**
 * Whether it comes after newer DDL of the same names, and any of that or itself is a rename. Then the server may
 * have come to something else: for it counts, too, what came first.
 */
export function isTangled(migration: Migration, known: Iterable<Migration>): boolean {
  const names = namesOf(migration);
  const others = [...known].filter(
    (other) =>
      isOfTable(other) &&
      other.schema === migration.schema &&
      namesOf(other).some((name) => names.includes(name)),
  );
  return (
    others.some(({ hlc }) => compareHlc(hlc, migration.hlc) > 0) &&
    [migration, ...others].some(({ type }) => type === 'rename_table')
  );
}

function namesOf({ table, fromTable = table }: Migration): string[] {
  return [table, fromTable];
}

/** Whether it makes, drops or renames a table. */
export function isOfTable({ type }: Migration): boolean {
  return type.endsWith('_table');
}

/** The table that a migration begins with. */
export function fromKeyOf({ schema, table, fromTable = table }: Migration): string {
  return tableKeyOf(schema, fromTable);
}

/**
 * Of several in one place the newest is kept. Each rename has its own: without it nobody knew where
 * its table went.
 */
export function slotOf({ type, schema, table, schemaVersion, hlc }: Migration): string {
  const kind = type === 'rename_table' ? hlc : type.endsWith('_index');
  return JSON.stringify([schema, table, schemaVersion, kind]);
}

/** Where DDL goes that is needed still when other takes its place: see `isNeededBeside`. */
export function earlierSlotOf(migration: Migration): string {
  return `${slotOf(migration)}${migration.hlc}`;
}

/**
 * Whether a migration is still needed when another takes its place: it dropped the table, or made one that
 * was renamed before that.
 */
export function isNeededBeside(
  { type, schema, table, hlc }: Migration,
  next: Migration,
  known: Iterable<Migration>,
): boolean {
  if (type !== 'create_table') return type === 'drop_table' && next.type !== type;
  for (const other of known) {
    if (other.type !== 'rename_table' || other.schema !== schema) continue;
    const isBetween = compareHlc(hlc, other.hlc) < 0 && compareHlc(other.hlc, next.hlc) < 0;
    if (isBetween && other.fromTable === table) return true;
  }
  return false;
}
