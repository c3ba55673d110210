/**
 * What has to be in tables that come and go, where that hangs on nothing but what was said: in
 * whatever order it arrived.
 *
 * CREATE, DROP and data of one name give one result in any order: the newest drop is the line
 * above which everything counts, and the table is there if it was made after that. A chain of
 * renames whose names are used once each takes along whatever is written under any of them.
 */

import { compareHlc, HLC_MIN, maxHlc } from '../../src/clock/hlc.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../src/protocol/schemas.ts';
import { Replica } from '../support/replica.ts';
import { isChain, isNeverRenamed } from './table-names.ts';

export class TableExpectation {
  /** The newest HLC of each kind of DDL, by kind and name. */
  readonly #newest = new Map<string, string>();
  #chainEnd: { table: string; hlc: string } | undefined;
  readonly #replica = new Replica();
  readonly #isOnlyMaker: boolean;

  /**
   * @param said all of it, whoever said it: DDL counts for what was said before it as well
   * @param isOnlyMaker whether one device alone has changed tables
   */
  constructor(said: readonly WireChangeSet[], isOnlyMaker: boolean) {
    this.#isOnlyMaker = isOnlyMaker;
    for (const { schemaMigrations } of said) for (const each of schemaMigrations) this.#ddl(each);
    for (const set of said) {
      const changes = set.changes.flatMap((change) => this.#placed(change) ?? []);
      this.#replica.apply([{ ...set, changes }]);
    }
  }

  #ddl({ type, table, hlc }: WireMigration): void {
    const key = `${type} ${table}`;
    this.#newest.set(key, maxHlc(this.#newest.get(key) ?? HLC_MIN, hlc));
    if (!isChain(table)) return;
    if (compareHlc(hlc, this.#chainEnd?.hlc ?? HLC_MIN) > 0) this.#chainEnd = { table, hlc };
  }

  /** Whether exactly these contents are promised of a name. */
  speaksOf(table: string): boolean {
    return isNeverRenamed(table) || (this.#isOnlyMaker && isChain(table));
  }

  #placed(change: WireChange): WireChange | undefined {
    const { table, hlc } = change;
    if (!this.speaksOf(table)) return undefined;
    if (isChain(table)) return { ...change, table: this.#chainEnd?.table ?? table };
    const dropped = this.#newest.get(`drop_table ${table}`) ?? HLC_MIN;
    const made = this.#newest.get(`create_table ${table}`) ?? HLC_MIN;
    return compareHlc(made, dropped) >= 0 && compareHlc(hlc, dropped) > 0 ? change : undefined;
  }

  contents(): ReturnType<Replica['contents']> {
    return this.#replica.contents();
  }
}
