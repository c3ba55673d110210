/**
 * Removes all DDL of names that were dropped before the horizon and are not in use, with the older
 * names that led to them: no reader can ask for a delta from before the horizon. Older changes stay
 * out without that DDL, since they are skipped by the floor. A writer never waits for more than one
 * step, and a pass reads only so much, since some DDL stays whatever is read for it.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { CommittedState, WriteTransaction } from '../merge/write-transaction.ts';
import { type Pace, READS_A_CHANGE } from '../records/pace.ts';
import type { Slot } from '../records/table-record.ts';
import { type Catalog, type CatalogView, liveTable } from '../tables/catalog.ts';
import type { CatalogDraft } from '../tables/catalog-draft.ts';
import { pruneWhole } from '../tables/ddl-replay.ts';
import { pastAt } from '../tables/past-leads.ts';

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
  /** The keys of drops that are to be looked at yet, the next one at the end. */
  #drops: string[] = [];

  constructor(parts: DdlPruningParts) {
    this.#parts = parts;
  }

  async run(horizon: HlcText, { signal, thorough = false }: DdlPruningOptions): Promise<void> {
    const { state, tidy } = this.#parts;
    if (thorough || this.#drops.length === 0) {
      this.#drops = forgottenDrops(state().catalog, horizon).reverse();
    }
    let left = thorough ? Number.POSITIVE_INFINITY : PASS_READ_MAX;
    while (this.#drops.length > 0 && left > 0 && !signal?.aborted) {
      left -= await tidy(({ catalog }) => this.#step(catalog, horizon));
      await this.#parts.yield();
    }
  }

  /** @returns how many statements it has read, about */
  async #step(draft: CatalogDraft, horizon: HlcText): Promise<number> {
    let read = 0;
    for (let key = this.#drops.pop(); key !== undefined; key = this.#drops.pop()) {
      const slot = draft.slot(key);
      let readForIt = READS_A_DROP;
      if (slot !== undefined && isForgotten(draft, slot, horizon)) {
        readForIt += pruneWhole(draft, slot);
      }
      const turn = this.#parts.pace.did(readForIt / READS_A_CHANGE);
      if (turn !== undefined) await turn;
      read += readForIt;
      if (read >= STEP_READ_MAX) break;
    }
    return read;
  }
}

function forgottenDrops(catalog: Catalog, horizon: HlcText): string[] {
  const slots = [...catalog.slots.values()];
  return slots.filter((slot) => isForgotten(catalog, slot, horizon)).map(({ key }) => key);
}

/** Whether it is a drop from before the horizon, and nobody uses its name. */
function isForgotten(catalog: CatalogView, slot: Slot, horizon: HlcText): boolean {
  const { type, aside, at, schema, table, hlc } = slot;
  if (type !== 'drop_table' || aside || compareHlc(at, horizon) > 0) return false;
  const name = catalog.name(schema, table);
  const isLater = name !== undefined && pastAt(name, hlc) !== undefined;
  return liveTable(catalog, schema, table) === undefined && !isLater;
}
