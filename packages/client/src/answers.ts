/** Reads the answer to a batch: what became of each of its changes, and of each write as a whole. */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import { pkIdentity } from '../../../src/protocol/values.ts';
import { siteOf } from './clock.ts';
import { memberOf } from './maps.ts';
import type { Outgoing } from './outbox.ts';
import type {
  ApplyResult,
  Change,
  ConflictingCell,
  OvertakenChange,
  RejectedChange,
} from './protocol/messages.ts';
import { rowKeyOf, type StoredOutcome, type StoredOutcomeChange } from './replica/entries.ts';

export interface AnsweredWrite {
  /** What the server has taken, to the client's knowledge. */
  taken: Change[];
  outcome: StoredOutcome | undefined;
}

/** What beats a change, as far as is known here. */
export type WinnerOf = (change: Change) => Winner | undefined;

interface Winner {
  hlc: HlcText;
  value?: unknown;
}

const DELETED = 'the row was deleted, or its table dropped';

export class BatchAnswer {
  /** By the cell or row; those that name none under the empty text. */
  readonly #rejected = new Map<string, RejectedChange[]>();
  readonly #conflicting = new Map<string, ConflictingCell>();
  /** What has overtaken a change, by the HLC of that. */
  readonly #overtaken: ReadonlyMap<HlcText, Winner>;
  /** What has won in cells that `#conflicting` has no room for, likewise. */
  readonly #beaten: ReadonlyMap<HlcText, Winner>;
  readonly #elsewhere: ReadonlyMap<HlcText, string | undefined>;

  constructor({ rejected = [], conflicting = [], overtaken, beaten, elsewhere = [] }: ApplyResult) {
    for (const entry of rejected) {
      memberOf(this.#rejected, placeOf(entry), (): RejectedChange[] => []).push(entry);
    }
    for (const cell of conflicting) {
      this.#conflicting.set(`${rowKeyOf(cell)} ${cell.column}`, cell);
    }
    this.#overtaken = byHlc(overtaken);
    this.#beaten = byHlc(beaten);
    this.#elsewhere = new Map(elsewhere.map(({ hlc, table }) => [hlc, table]));
  }

  /** The name under which the server has a change; `undefined` if it tells nobody of it. */
  tableOf({ hlc, table }: Change): string | undefined {
    return this.#elsewhere.has(hlc) ? this.#elsewhere.get(hlc) : table;
  }

  /** @param winnerOf what the replica itself knows to be newer */
  of([, changeSet]: Outgoing, siteId: string, at: number, winnerOf: WinnerOf): AnsweredWrite {
    const { transactionId } = changeSet;
    const taken: Change[] = [];
    // In the order in which they were written, so that they can be written again.
    const lost: StoredOutcomeChange[] = [];
    // DDL, or what a hook said of nothing in particular.
    let rejection = this.#rejectionOf('', transactionId);
    for (const change of changeSet.changes) {
      const own = this.#rejectionOf(placeOf(change), transactionId, change.schema);
      if (own !== undefined) {
        rejection ??= own;
        lost.push({ change, code: own.code, reason: own.reason });
        continue;
      }
      const deletion = this.#overtaken.get(change.hlc);
      const winner =
        deletion ?? this.#conflictOf(change) ?? winnerOf(change) ?? this.#beaten.get(change.hlc);
      // A later write of the same device is no loss.
      if (winner !== undefined && siteOf(winner.hlc) !== siteId) lost.push({ change, winner });
      else if (deletion === undefined) taken.push(change);
    }
    const [first] = lost;
    if (first === undefined && rejection === undefined) return { taken, outcome: undefined };
    const isOvertaken = first !== undefined && this.#overtaken.has(first.change.hlc);
    const outcome: StoredOutcome = {
      state: rejection === undefined ? 'superseded' : 'rejected',
      at,
      code: rejection?.code,
      reason: rejection?.reason ?? (isOvertaken ? DELETED : 'a newer edit won'),
      changeSet,
      changes: lost,
    };
    return { taken, outcome };
  }

  #rejectionOf(place: string, id: string, schema?: string): RejectedChange | undefined {
    const entries = this.#rejected.get(place);
    return entries?.find(
      (entry) => (entry.transactionId ?? id) === id && (entry.schema ?? schema) === schema,
    );
  }

  #conflictOf(change: Change): ConflictingCell | undefined {
    if (change.type !== 'column') return undefined;
    const cell = this.#conflicting.get(`${rowKeyOf(change)} ${change.column}`);
    return cell !== undefined && compareHlc(cell.hlc, change.hlc) > 0 ? cell : undefined;
  }
}

/** What a rejection names: but for its schema, which it may leave out. */
function placeOf(entry: RejectedChange | Change): string {
  const { table = '', pk } = entry;
  const column = 'column' in entry ? entry.column : undefined;
  return pk === undefined ? '' : JSON.stringify([table, pkIdentity(pk), column]);
}

function byHlc(lost: readonly OvertakenChange[] = []): Map<HlcText, Winner> {
  return new Map(lost.map(({ hlc, by }) => [hlc, { hlc: by }]));
}
