/**
 * Writes that were rejected, or lost against newer ones. They are kept, also when the app ends, until
 * somebody has looked at them: nothing that a user has typed vanishes without a word.
 */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import { decodeValue, type SqlValue } from '../../../src/protocol/values.ts';
import { Listeners } from './listeners.ts';
import { memberOf } from './maps.ts';
import type { Change, Migration } from './protocol/messages.ts';
import {
  entryOf,
  FATE,
  type OutcomeState,
  type StoredOutcome,
  type StoredOutcomeChange,
  toTable,
} from './replica/entries.ts';
import type { Replica } from './replica/replica.ts';
import type { StoreOperation } from './stores/store.ts';
import type { Edit } from './transaction.ts';
import type { Write } from './write.ts';

export interface OutcomeChange {
  readonly schema: string;
  readonly table: string;
  readonly pk: readonly SqlValue[];
  /** Missing for a deletion of the row. */
  readonly column?: string;
  /** What was written. */
  readonly value?: SqlValue;
  /** What won instead, where it is known; without a value, a deletion of the row. */
  readonly winner?: { readonly hlc: HlcText; readonly value?: SqlValue };
  /** The hook's, for programs and for people. */
  readonly code?: string;
  readonly reason?: string;
}

export interface Outcome {
  readonly id: HlcText;
  readonly state: OutcomeState;
  /** When the answer came, in milliseconds since 1970. */
  readonly at: number;
  /** Of the first change that was refused, or of the whole write. */
  readonly code?: string;
  /** For people. */
  readonly reason: string;
  /** The changes that were not taken. */
  readonly changes: readonly OutcomeChange[];
  /** Writes those changes again, as of now, and dismisses this. */
  restore(): Write;
  dismiss(): void;
}

/** What outcomes need of the client. */
export interface OutcomesPort {
  commit(operations: StoreOperation[]): void;
  write(edits: readonly Edit[], also: StoreOperation[], migrations?: Migration[]): Write;
}

export class Outcomes {
  readonly #replica: Replica;
  readonly #port: OutcomesPort;
  #made = new WeakMap<StoredOutcome, Outcome>();
  readonly #listeners = new Listeners();
  #list: readonly Outcome[] | undefined;
  #byRow: Map<string, Outcome[]> | undefined;

  constructor(replica: Replica, port: OutcomesPort) {
    this.#replica = replica;
    this.#port = port;
  }

  /** The oldest first. The same array until something changes. */
  list(): readonly Outcome[] {
    this.#list ??= [...this.#replica.outcomes]
      .sort(([a], [b]) => compareHlc(a, b))
      .map(([id, stored]) => memberOf(this.#made, stored, () => this.#make(id, stored)));
    return this.#list;
  }

  /** @returns ends it */
  subscribe(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  ofRow(rowKey: string): readonly Outcome[] {
    this.#byRow ??= this.#sortByRow();
    return this.#byRow.get(rowKey) ?? [];
  }

  #sortByRow(): Map<string, Outcome[]> {
    const byRow = new Map<string, Outcome[]>();
    for (const outcome of this.list()) {
      const { changes = [] } = this.#replica.outcomes.get(outcome.id) ?? {};
      for (const key of new Set(changes.map(({ change }) => this.#replica.keyOf(change)))) {
        if (key !== undefined) memberOf(byRow, key, (): Outcome[] => []).push(outcome);
      }
    }
    return byRow;
  }

  #make(id: HlcText, stored: StoredOutcome): Outcome {
    const { state, at, code, reason, changeSet } = stored;
    const changes = stored.changes.map((each) => ({ ...each, change: this.#named(each.change) }));
    const forget = () => entryOf(FATE + id);
    return {
      id,
      state,
      at,
      code,
      reason,
      changes: changes.map(toOutcomeChange),
      restore: () =>
        this.#port.write(
          changes.map(({ change }) => toEdit(change)),
          [forget()],
          // DDL is refused as a whole.
          changes.length === 0 ? changeSet.schemaMigrations : [],
        ),
      dismiss: () => this.#port.commit([forget()]),
    };
  }

  /** By the name that its table has now. */
  #named(change: Change): Change {
    const tableKey = this.#replica.tableOf(change);
    return tableKey === undefined ? change : { ...change, ...toTable(tableKey) };
  }

  /**
   * For the client: what was made of them is old.
   * @param isNamedAnew whether tables may have other names
   */
  changed(isNamedAnew: boolean): void {
    this.#list = undefined;
    this.#byRow = undefined;
    if (isNamedAnew) this.#made = new WeakMap();
  }

  notify(): void {
    this.#listeners.notify();
  }
}

function toEdit({ hlc: _, ...edit }: Change): Edit {
  return edit;
}

function toOutcomeChange({ change, winner, code, reason }: StoredOutcomeChange): OutcomeChange {
  const { schema, table, pk } = change;
  return {
    schema,
    table,
    pk: pk.map(decodeValue),
    ...(change.type === 'column' && { column: change.column, value: decodeValue(change.value) }),
    ...(winner && {
      winner: {
        hlc: winner.hlc,
        ...(winner.value !== undefined && { value: decodeValue(winner.value) }),
      },
    }),
    code,
    reason,
  };
}
