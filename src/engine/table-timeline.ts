/**
 * Which table a change means, when names are dropped, renamed and used again.
 *
 * DDL sets boundaries in the life of a name: at an HLC its table ended (it was dropped,
 * or goes on under another name), or one was made. A change belongs to the table that bore
 * its name at its own HLC, however late it arrives: follow the boundaries after it. A change
 * that is newer than the end of its table, of a device that has not heard of it yet, belongs
 * to that table under its new name; after a drop it is held, but not sent, until the name
 * is known to have been used again.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import { SyncError } from '../errors.ts';
import { NameMap } from './name-map.ts';

export interface Boundary {
  schema: string;
  table: string;
  hlc: HlcText;
  kind: 'made' | 'dropped' | 'renamed';
  /** For `renamed`, the name that it goes on under. */
  renamedTo?: string;
}

export interface Place {
  /** The name that the table has today. */
  table: string;
  /** That name's table was dropped, and none is known to have been made since. */
  hidden: boolean;
}

/** A name's boundaries, in order. */
interface Life {
  ends: Boundary[];
  /** When the newest table of this name was made. */
  madeAt: HlcText | undefined;
}

export function boundaryIdentity({ schema, table, hlc, kind }: Boundary): string {
  return JSON.stringify([schema, table, hlc, kind]);
}

export class TableTimeline {
  readonly #lives = new NameMap<Life>();
  readonly #endedNamesJson: string[] = [];
  #endCount = 0;

  /** A table that was renamed has to be added as made before it is added as renamed. */
  add(boundary: Boundary): void {
    const { schema, table, hlc, kind } = boundary;
    const life = this.#lives.get(schema, table) ?? { ends: [], madeAt: undefined };
    this.#lives.set(schema, table, life);
    if (kind === 'made') {
      if (life.madeAt === undefined || compareHlc(hlc, life.madeAt) > 0) life.madeAt = hlc;
      return;
    }
    if (life.ends.length === 0) this.#endedNamesJson.push(JSON.stringify(table));
    life.ends.push(boundary);
    this.#endCount++;
    life.ends.sort((a, b) => compareHlc(a.hlc, b.hlc));
  }

  /** Whether every name has only ever meant one table. */
  get isEmpty(): boolean {
    return this.#endedNamesJson.length === 0;
  }

  /** JSON of the names whose table has ended at some time, as it stands in records. */
  get endedNamesJson(): readonly string[] {
    return this.#endedNamesJson;
  }

  /**
   * Where a change's table is today; `undefined` if it was dropped after the change.
   * @throws SyncError STORE_DAMAGED, if it is not known that a table was made where another one
   *   was renamed to, and names lead in a circle for it
   */
  resolve(schema: string, table: string, hlc: HlcText): Place | undefined {
    if (this.isEmpty) return { table, hidden: false };
    let name = table;
    let at = hlc;
    // Ends: a table that was renamed was made under its new name no earlier than that, so each
    // step's boundary is newer than the one before.
    for (let steps = 0; steps <= this.#endCount; steps++) {
      const life = this.#lives.get(schema, name);
      const next = life?.ends.find((end) => compareHlc(end.hlc, at) > 0) ?? unansweredEnd(life);
      if (next === undefined) return { table: name, hidden: false };
      const isAfter = compareHlc(next.hlc, at) > 0;
      if (next.renamedTo === undefined) return isAfter ? undefined : { table: name, hidden: true };
      name = next.renamedTo;
      if (isAfter) at = next.hlc;
    }
    throw new SyncError('STORE_DAMAGED', `table ${table} was renamed in a circle`);
  }

  /** Whether the name's newest table was dropped, so that nothing may be sent for it. */
  isHidden(schema: string, table: string): boolean {
    return unansweredEnd(this.#lives.get(schema, table))?.kind === 'dropped';
  }

  /** Whether a table of this name was made after `hlc`. */
  isMadeAfter(schema: string, table: string, hlc: HlcText): boolean {
    const madeAt = this.#lives.get(schema, table)?.madeAt;
    return madeAt !== undefined && compareHlc(madeAt, hlc) > 0;
  }
}

/** The newest end of a name's tables, unless the name has been used again since. */
function unansweredEnd(life: Life | undefined): Boundary | undefined {
  const last = life?.ends.at(-1);
  if (last === undefined || life?.madeAt === undefined) return last;
  return compareHlc(life.madeAt, last.hlc) >= 0 ? undefined : last;
}
