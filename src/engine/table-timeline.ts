/**
 * Which table a change means, when names are dropped, renamed and used again.
 *
 * A boundary ends a name's table at an HLC: it was dropped, or goes on under another
 * name. A change belongs to the table that bore its name at its own HLC, however late
 * it arrives: follow the boundaries after it.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import { NameMap } from './name-map.ts';

export interface Boundary {
  schema: string;
  table: string;
  hlc: HlcText;
  /** The name it goes on under; without it the table was dropped. */
  renamedTo?: string;
}

export function boundaryIdentity(boundary: Boundary): string {
  return JSON.stringify([boundary.schema, boundary.table, boundary.hlc]);
}

export class TableTimeline {
  readonly #boundariesByName = new NameMap<Boundary[]>();
  #namesJson: string[] = [];

  constructor(boundaries: Iterable<Boundary> = []) {
    for (const boundary of boundaries) this.add(boundary);
  }

  add(boundary: Boundary): void {
    const { schema, table } = boundary;
    const known = this.#boundariesByName.get(schema, table) ?? [];
    known.push(boundary);
    known.sort((a, b) => compareHlc(a.hlc, b.hlc));
    this.#boundariesByName.set(schema, table, known);
    if (known.length === 1) this.#namesJson.push(JSON.stringify(table));
  }

  get isEmpty(): boolean {
    return this.#namesJson.length === 0;
  }

  /** JSON of the names that have meant another table at some time, as it stands in records. */
  namesJson(): readonly string[] {
    return this.#namesJson;
  }

  /** The name under which a change's table goes on today; `undefined` if it was dropped. */
  resolve(schema: string, table: string, hlc: HlcText): string | undefined {
    if (this.isEmpty) return table;
    let name = table;
    let at = hlc;
    for (;;) {
      const next = this.#boundariesByName
        .get(schema, name)
        ?.find((boundary) => compareHlc(boundary.hlc, at) > 0);
      if (next === undefined) return name;
      if (next.renamedTo === undefined) return undefined;
      name = next.renamedTo;
      at = next.hlc;
    }
  }
}
