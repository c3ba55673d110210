/** The writes of this client: makes them durable and sendable, and tells each what became of it. */

import { type MigrationInput, toMigrations } from './migration.ts';
import { entryOf, OUT } from './replica/entries.ts';
import type { KeptReplica } from './replica/kept-replica.ts';
import type { StoreOperation } from './stores/store.ts';
import { dated, type Edit, lastEdits, type Undated } from './transaction.ts';
import { type Fate, Write } from './write.ts';

/** Of a transaction: a longest text, of 2^29 characters, has room for it twice, as an outcome has it. */
const CHARACTERS_MAX = 2 ** 27;

export class Writes {
  readonly #kept: KeptReplica;
  /** Those without an answer, by transaction. */
  readonly #waiting = new Map<string, Write>();

  constructor(kept: KeptReplica) {
    this.#kept = kept;
  }

  /** @param also carried out with it */
  make(
    edits: readonly Edit[],
    also: readonly StoreOperation[],
    migrations: readonly MigrationInput[],
  ): Write {
    const { clock, tabs, replica } = this.#kept;
    if (clock === undefined) throw new Error('await client.ready before writing');
    const undated: Undated = {
      siteId: replica.meta.siteId,
      changes: lastEdits(edits),
      // Listing what DDL is known takes long while many writes wait.
      schemaMigrations: migrations.length === 0 ? [] : toMigrations(migrations, replica.migrations),
    };
    const changeSet = dated(undated, clock.next(tabs?.number));
    if (JSON.stringify(changeSet).length > CHARACTERS_MAX) {
      throw new RangeError('the transaction is too large');
    }
    const { hlc } = changeSet;
    const isEmpty = edits.length + migrations.length === 0;
    const operations: StoreOperation[] = [...also];
    if (!isEmpty) operations.push(entryOf(OUT + hlc, changeSet));
    const write = new Write(hlc, this.#kept.commit(operations));
    if (isEmpty) write.settle('acknowledged');
    else this.#waiting.set(hlc, write);
    return write;
  }

  settle(transactionId: string, fate: Fate): void {
    this.#waiting.get(transactionId)?.settle(fate);
    this.#waiting.delete(transactionId);
  }

  /** Settles those that another tab has got an answer to. */
  settleGone(): void {
    if (this.#waiting.size === 0) return;
    const { outbox, outcomes } = this.#kept.replica;
    const ids = new Set([...outbox.values()].map((write) => write.transactionId));
    for (const id of [...this.#waiting.keys()]) {
      if (!ids.has(id)) this.settle(id, outcomes.get(id)?.state ?? 'acknowledged');
    }
  }
}
