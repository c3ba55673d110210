/** Changes that a table's emptying has moved to another one, to be logged as new. */

import type { HlcText } from '../../clock/hlc.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { authorsOf } from '../log/log-record.ts';
import { RunWriter } from '../log/record-tables.ts';
import { ChangeListJson, changedRowJson, columnMember } from '../records/change-json.ts';
import type { Applied } from '../records/held-rows.ts';
import type { Cell, Tombstone } from '../records/row.ts';
import type { LoadedRow } from '../records/row-set.ts';
import type { LiveTable } from '../records/table-record.ts';
import type { Reverts } from './reverts.ts';
import type { WriteTransaction } from './write-transaction.ts';

/** Changes that have moved and take effect, as one change set of the coordinator's. */
export class MovedChanges {
  readonly position: HlcText;
  /** Logged changes that are not needed any more, since their cells are gone. */
  replaced = 0;
  readonly #transaction: WriteTransaction;
  readonly #into: LiveTable | undefined;
  readonly #siteIdText: string;
  readonly #reverts: Reverts;
  readonly #changes = new ChangeListJson();
  readonly #hlcs: HlcText[] = [];

  constructor(
    transaction: WriteTransaction,
    into: LiveTable | undefined,
    siteIdText: string,
    reverts: Reverts,
  ) {
    this.#reverts = reverts;
    this.#transaction = transaction;
    this.#into = into;
    this.#siteIdText = siteIdText;
    this.position = transaction.log.nextPosition();
  }

  addDelete({ pk, hlc, priorRow }: Tombstone, columnsBefore: string[], to: LoadedRow): void {
    this.#changes.addDelete(this.#row(pk), hlc, priorRow);
    this.#hlcs.push(hlc);
    this.#applied({ change: { type: 'delete', hlc }, columnsBefore }, pk, to);
  }

  addColumn(column: string, { pk, hlc, value }: Cell, to: LoadedRow): void {
    this.#changes.addColumn(this.#row(pk), { hlc }, columnMember(column), value);
    this.#hlcs.push(hlc);
    const change = { type: 'column', hlc, column: JSON.parse(column) } as const;
    this.#applied({ change, columnsBefore: [] }, pk, to);
  }

  /** Sites may hold newer values of the row, and then need reverts. */
  #applied(applied: Applied, pk: string, to: LoadedRow): void {
    const table = this.#into;
    if (table === undefined) return;
    const address = { tableId: table.id, identity: pkIdentity(JSON.parse(pk)) };
    const target = { table, isLive: true, address, pk, json: this.#row(pk) };
    if (this.#reverts.mayConcern(applied.change.hlc)) this.#reverts.applied(applied, target, to);
  }

  #row(pk: string): string {
    const { schema = '', table = '' } = this.#into ?? {};
    return changedRowJson(JSON.stringify(schema), JSON.stringify(table), pk);
  }

  append(): void {
    const { log } = this.#transaction;
    log.noteReplaced(this.replaced);
    if (this.#into === undefined || this.#hlcs.length === 0) return;
    const tables = new RunWriter();
    tables.add(this.#into.id, this.#hlcs.length);
    const { position } = this;
    log.append({
      ...{ position, changes: this.#changes, migrations: [], tables: tables.toString() },
      siteId: this.#siteIdText,
      transactionId: `told:${position}`,
      authors: authorsOf(this.#hlcs),
    });
  }
}
