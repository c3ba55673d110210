/** Reads the answer to a batch: what became of each of its changes, and of each write as a whole. */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import { hlcSite } from '../../../src/clock/site-id.ts';
import { pkIdentity } from '../../../src/protocol/values.ts';
import type { Outgoing } from './outbox.ts';
import type { ApplyResult, Change, ConflictingCell, RejectedChange } from './protocol/messages.ts';
import { rowKeyOf, type StoredOutcome, type StoredOutcomeChange } from './replica/entries.ts';

export interface AnsweredWrite {
  /** What the server has taken, to the client's knowledge. */
  taken: Change[];
  outcome: StoredOutcome | undefined;
}

/** What beats a change, as far as is known here. */
export type WinnerOf = (change: Change) => { hlc: HlcText; value?: unknown } | undefined;

const DELETED = 'the row was deleted, or its table dropped';

export class BatchAnswer {
  readonly #rejected: readonly RejectedChange[];
  readonly #conflicting = new Map<string, ConflictingCell>();
  /** What has overtaken a change, by the HLC of that. */
  readonly #overtaken: ReadonlyMap<HlcText, HlcText>;

  constructor({ rejected = [], conflicting = [], overtaken = [] }: ApplyResult) {
    this.#rejected = rejected;
    for (const cell of conflicting) {
      this.#conflicting.set(`${rowKeyOf(cell)} ${cell.column}`, cell);
    }
    this.#overtaken = new Map(overtaken.map(({ hlc, by }) => [hlc, by]));
  }

  /** @param winnerOf what the replica itself knows to be newer */
  of([, changeSet]: Outgoing, siteId: string, at: number, winnerOf: WinnerOf): AnsweredWrite {
    const taken: Change[] = [];
    const rejected: StoredOutcomeChange[] = [];
    const beaten: StoredOutcomeChange[] = [];
    for (const change of changeSet.changes) {
      const rejection = this.#rejectionOf(change, changeSet.transactionId);
      if (rejection !== undefined) {
        rejected.push({ change, code: rejection.code, reason: rejection.reason });
        continue;
      }
      const deletion = this.#overtaken.get(change.hlc);
      const winner =
        deletion === undefined ? (this.#conflictOf(change) ?? winnerOf(change)) : { hlc: deletion };
      // A later write of the same device is no loss.
      if (winner !== undefined && hlcSite(winner.hlc) !== siteId) beaten.push({ change, winner });
      else if (deletion === undefined) taken.push(change);
    }
    const whole = this.#rejected.find((entry) => isOfWhole(entry, changeSet.transactionId));
    if (rejected.length === 0 && beaten.length === 0 && whole === undefined) {
      return { taken, outcome: undefined };
    }
    const isRejected = rejected.length > 0 || whole !== undefined;
    const first = whole ?? rejected[0];
    const outcome: StoredOutcome = {
      state: isRejected ? 'rejected' : 'superseded',
      at,
      code: first?.code,
      reason: first?.reason ?? (this.#isOvertaken(beaten) ? DELETED : 'a newer edit won'),
      changeSet,
      changes: [...rejected, ...beaten],
    };
    return { taken, outcome };
  }

  #rejectionOf(change: Change, transactionId: string): RejectedChange | undefined {
    if (this.#rejected.length === 0) return undefined;
    const column = change.type === 'column' ? change.column : undefined;
    return this.#rejected.find(
      (entry) =>
        entry.table === change.table &&
        entry.column === column &&
        entry.pk !== undefined &&
        (entry.schema ?? change.schema) === change.schema &&
        (entry.transactionId ?? transactionId) === transactionId &&
        pkIdentity(entry.pk) === pkIdentity(change.pk),
    );
  }

  #isOvertaken([first]: readonly StoredOutcomeChange[]): boolean {
    return first !== undefined && this.#overtaken.has(first.change.hlc);
  }

  #conflictOf(change: Change): ConflictingCell | undefined {
    if (change.type !== 'column') return undefined;
    const cell = this.#conflicting.get(`${rowKeyOf(change)} ${change.column}`);
    return cell !== undefined && compareHlc(cell.hlc, change.hlc) > 0 ? cell : undefined;
  }
}

/** DDL, or what a hook said of nothing in particular. */
function isOfWhole(entry: RejectedChange, transactionId: string): boolean {
  return entry.pk === undefined && (entry.transactionId ?? transactionId) === transactionId;
}
