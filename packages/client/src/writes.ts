/** The writes of this client: makes them durable and sendable, and tells each what became of it. */

import { type MigrationInput, toMigrations } from './migration.ts';
import type { ChangeSet } from './protocol/messages.ts';
import { OUT } from './replica/entries.ts';
import type { KeptReplica } from './replica/kept-replica.ts';
import type { StoreOperation } from './stores/store.ts';
import { type Edit, toChanges } from './transaction.ts';
import { type Fate, Write } from './write.ts';

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
    const hlcOf = clock.next(tabs?.number);
    const changes = toChanges(edits, hlcOf);
    const schemaMigrations = toMigrations(migrations, replica.migrations, hlcOf);
    const count = changes.length + schemaMigrations.length;
    const hlc = hlcOf(Math.max(0, count - 1));
    const changeSet: ChangeSet = {
      siteId: replica.meta.siteId,
      transactionId: hlc,
      hlc,
      changes,
      schemaMigrations,
    };
    const operations: StoreOperation[] = [...also];
    if (count > 0) operations.push({ type: 'put', key: OUT + hlc, value: changeSet });
    const write = new Write(hlc, this.#kept.commit(operations));
    if (count === 0) write.settle('acknowledged');
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
