/**
 * Removes the DDL of tables that were dropped before the horizon: no reader can ask for a delta from
 * before it. Older changes and older DDL stay out without it, since they are skipped by the floor. A
 * writer never waits for more than one step, and a pass reads only so much, since some DDL stays
 * whatever is read for it.
 */

import { compareHlc, HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import type { CommittedState, WriteTransaction } from '../merge/write-transaction.ts';
import { NameMap } from '../records/name-map.ts';
import { type Pace, READS_A_CHANGE } from '../records/pace.ts';
import type { Slot } from '../records/table-record.ts';
import type { Catalog } from '../tables/catalog.ts';
import { pruneConnected } from '../tables/dropped-ddl.ts';

/** Statements that a step reads. */
const STEP_READ_MAX = 40_000;
/** Statements that a pass reads. The next one goes on. */
const PASS_READ_MAX = 1_000_000;
/** A drop takes as long as so many statements to be read, however few there are. */
const READS_A_DROP = 40;

interface DdlPruningOptions {
  /** Ends it after the current step. */
  signal?: AbortSignal | undefined;
  /** Goes through all that there is. */
  thorough?: boolean | undefined;
}

/** The database, and how others get their turn. */
interface DdlPruningParts {
  state(): CommittedState;
  /** See `TidiedDatabase`. */
  tidy(step: (transaction: WriteTransaction) => Promise<number>): Promise<number>;
  yield(): Promise<void>;
  pace: Pace;
}

export class DdlPruning {
  readonly #parts: DdlPruningParts;
  #horizon: HlcText = HLC_MIN;
  /** The keys of drops that are to be looked at yet, the next one at the end. */
  #drops: string[] = [];
  /** The names of those that have been: of all names that renames connect the DDL is read once. */
  #done = new NameMap<true>();

  constructor(parts: DdlPruningParts) {
    this.#parts = parts;
  }

  /** The horizon may have moved: there may be drops to look at, or to look at once more. */
  begin(horizon: HlcText, { thorough = false }: DdlPruningOptions): void {
    this.#horizon = horizon;
    if (!thorough && this.#drops.length > 0) return;
    this.#drops = forgottenDrops(this.#parts.state().catalog, horizon).reverse();
    this.#done = new NameMap();
  }

  /** One pass, or none where all has been looked at since it was begun. */
  async run({ signal, thorough = false }: DdlPruningOptions): Promise<void> {
    const { tidy } = this.#parts;
    let left = thorough ? Number.POSITIVE_INFINITY : PASS_READ_MAX;
    while (this.#drops.length > 0 && left > 0 && !signal?.aborted) {
      left -= await tidy((transaction) => this.#step(transaction));
      await this.#parts.yield();
    }
  }

  /** @returns how many statements it has read, about */
  async #step({ catalog, head }: WriteTransaction): Promise<number> {
    const horizon = this.#horizon;
    let read = 0;
    for (let key = this.#drops.pop(); key !== undefined; key = this.#drops.pop()) {
      const slot = catalog.slot(key);
      let readForIt = READS_A_DROP;
      if (slot !== undefined && isForgotten(slot, horizon) && !this.#isDone(slot)) {
        const pruned = pruneConnected(catalog, slot.schema, slot.table, horizon);
        for (const name of pruned.names) this.#done.set(slot.schema, name, true);
        // What is removed is still in the log.
        head.changesReplaced += pruned.removed;
        readForIt += pruned.read;
      }
      const turn = this.#parts.pace.did(readForIt / READS_A_CHANGE);
      if (turn !== undefined) await turn;
      read += readForIt;
      if (read >= STEP_READ_MAX) break;
    }
    return read;
  }

  #isDone({ schema, table }: Slot): boolean {
    return this.#done.get(schema, table) === true;
  }
}

function forgottenDrops(catalog: Catalog, horizon: HlcText): string[] {
  const slots = [...catalog.slots.values()];
  return slots.filter((slot) => isForgotten(slot, horizon)).map(({ key }) => key);
}

/** Whether it is a drop from before the horizon. */
function isForgotten({ type, aside, at }: Slot, horizon: HlcText): boolean {
  return type === 'drop_table' && !aside && compareHlc(at, horizon) <= 0;
}
