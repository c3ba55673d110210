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

/**
 * Whether the names in records hold: those of records whose tables are all live, and of which none
 * has changed since the record was written. To be asked in the order of their positions.
 */
export class CurrentNames {
  readonly #catalog: CatalogView;
  /** From where on names hold, by tables as they stand in a record; `undefined` where one is not live. */
  readonly #sinceByTables = new Map<string, HlcText | undefined>();
  /** Most records are of the same tables as the one before: of these the names hold from here on. */
  #last: string | undefined;

  constructor(catalog: CatalogView) {
    this.#catalog = catalog;
  }

  /** @param position of the record; worked out only where it matters */
  hold(tables: string, position: () => HlcText): boolean {
    if (tables === this.#last) return true;
    const since = this.#since(tables);
    if (since === undefined || compareHlc(position(), since) < 0) return false;
    this.#last = tables;
    return true;
  }

  /** When the newest change came to any of the tables; `undefined` where one is not live. */
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
