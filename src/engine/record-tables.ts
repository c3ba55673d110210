/**
 * The numbers of the tables of a log record's changes, as they stand in its first line: runs `id` or
 * `id*count`, joined with commas, in the order of the changes. Most often it is one number.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import type { CatalogView } from './catalog.ts';
import { isLive } from './table-record.ts';

/** Changes that follow each other, of one table. */
interface Run {
  id: number;
  count: number;
}

/** Puts the runs together. */
export class RunWriter {
  readonly #runs: Run[] = [];

  add(id: number, count = 1): void {
    const last = this.#runs.at(-1);
    if (last?.id === id) last.count += count;
    else if (count > 0) this.#runs.push({ id, count });
  }

  toString(): string {
    return this.#runs.map(({ id, count }) => (count === 1 ? `${id}` : `${id}*${count}`)).join(',');
  }
}

export function parseRuns(tables: string): Run[] {
  if (tables === '') return [];
  return tables.split(',').map((run) => {
    const at = run.indexOf('*');
    return at < 0
      ? { id: Number(run), count: 1 }
      : { id: Number(run.slice(0, at)), count: Number(run.slice(at + 1)) };
  });
}

/** The number of each change's table. */
export function tableIdsOf(tables: string): number[] {
  return parseRuns(tables).flatMap(({ id, count }) => new Array<number>(count).fill(id));
}

/** The number of the table of all changes, if it is one; `undefined` for none or several. */
function onlyId(tables: string): number | undefined {
  if (tables === '' || tables.includes(',')) return undefined;
  const at = tables.indexOf('*');
  return Number(at < 0 ? tables : tables.slice(0, at));
}

/**
 * Whether all tables are live, and none has changed since the record was written: its names hold.
 * @param position of the record; worked out only where it matters
 * @param before some position that is no later
 */
export function areNamesCurrent(
  tables: string,
  catalog: CatalogView,
  position: () => HlcText,
  before: HlcText,
): boolean {
  const isCurrent = (id: number): boolean => {
    const table = catalog.table(id);
    if (table === undefined || !isLive(table)) return false;
    return compareHlc(table.changed, before) <= 0 || compareHlc(table.changed, position()) <= 0;
  };
  const id = onlyId(tables);
  return id === undefined ? parseRuns(tables).every((run) => isCurrent(run.id)) : isCurrent(id);
}
