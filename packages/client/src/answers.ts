/** Reads the answer to a batch: what became of each of its changes, and of each write as a whole. */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import { hlcSite } from '../../../src/clock/site-id.ts';
import { pkIdentity } from '../../../src/protocol/values.ts';
import type { Outgoing } from './outbox.ts';
import type { ApplyResult, Change, RejectedChange } from './protocol/messages.ts';
import { rowKeyOf, type StoredOutcome, type StoredOutcomeChange } from './replica/entries.ts';

/** A cell that lost, and against what. Additive: servers of before do not name them. */
export interface ConflictingCell {
  schema: string;
  table: string;
  column: string;
  pk: unknown[];
  hlc: HlcText;
  value?: unknown;
}

export interface AnsweredWrite {
  /** What the server has taken, to the client's knowledge. */
  taken: Change[];
  outcome: StoredOutcome | undefined;
}

/** What beats a change, as far as is known here. */
export type WinnerOf = (change: Change) => { hlc: HlcText; value?: unknown } | undefined;

export class BatchAnswer {
  readonly #rejected: readonly (RejectedChange & { schema?: string; transactionId?: string })[];
  readonly #conflicting = new Map<string, ConflictingCell>();

  constructor(result: ApplyResult) {
    this.#rejected = result.rejected ?? [];
    for (const cell of this.conflictingOf(result)) {
      this.#conflicting.set(`${rowKeyOf(cell)} ${cell.column}`, cell);
    }
  }

  conflictingOf(result: ApplyResult): readonly ConflictingCell[] {
    return Reflect.get(result, 'conflicting') ?? [];
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
      const winner = this.#conflictOf(change) ?? winnerOf(change);
      // A later write of the same device is no loss.
      if (winner !== undefined && hlcSite(winner.hlc) !== siteId) beaten.push({ change, winner });
      else taken.push(change);
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
      reason: first?.reason ?? 'a newer edit won',
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

  #conflictOf(change: Change): ConflictingCell | undefined {
    if (change.type !== 'column') return undefined;
    const cell = this.#conflicting.get(`${rowKeyOf(change)} ${change.column}`);
    return cell !== undefined && compareHlc(cell.hlc, change.hlc) > 0 ? cell : undefined;
  }
}

/** DDL, or what a hook said of nothing in particular. */
function isOfWhole(
  entry: RejectedChange & { transactionId?: string },
  transactionId: string,
): boolean {
  return entry.pk === undefined && (entry.transactionId ?? transactionId) === transactionId;
}
