/**
 * The numbers of the tables of a log record's changes, as they stand in its first line: runs `id` or
 * `id*count`, joined with commas, in the order of the changes. Most often it is one number.
 */

import { compareHlc, HLC_MIN, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { isLive } from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';

/** Changes that follow each other, of one table. */
interface Run {
  id: number;
  count: number;
}

/** Joins consecutive changes of one table into runs. */
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

/** The number of the table of each change. */
export function tableIdsOf(tables: string): number[] {
  return parseRuns(tables).flatMap(({ id, count }) => new Array<number>(count).fill(id));
}

/**
 * Tells whether the table names in a record are still right: all of its tables are live, and none
 * was changed by DDL since the record was written. To be asked in the order of the records'
 * positions.
 */
export class CurrentNames {
  readonly #catalog: CatalogView;
  /**
   * The position from which names are right, by the runs of a record; `undefined` if a table is not
   * live.
   */
  readonly #sinceByTables = new Map<string, HlcText | undefined>();
  /**
   * The runs of the last record whose names were right: most records have the same as the one
   * before.
   */
  #last: string | undefined;

  constructor(catalog: CatalogView) {
    this.#catalog = catalog;
  }

  /** @param position the record's; called only if needed */
  hold(tables: string, position: () => HlcText): boolean {
    if (tables === this.#last) return true;
    const since = this.#since(tables);
    if (since === undefined || compareHlc(position(), since) < 0) return false;
    this.#last = tables;
    return true;
  }

  /** The position of the newest DDL of any of the tables; `undefined` if one is not live. */
  #since(tables: string): HlcText | undefined {
    if (this.#sinceByTables.has(tables)) return this.#sinceByTables.get(tables);
    let since: HlcText | undefined = HLC_MIN;
    for (const { id } of parseRuns(tables)) {
      const table = this.#catalog.table(id);
      const isCurrent = table !== undefined && isLive(table);
      since = since !== undefined && isCurrent ? maxHlc(since, table.changed) : undefined;
    }
    this.#sinceByTables.set(tables, since);
    return since;
  }
}
