/** The tables of one device of a simulation: what its user does to them, and what it has of them. */

import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { ClientCatalog, type ClientCatalogOptions } from './client-catalog.ts';
import { heldOf } from './rules.ts';
import { type Deed, TableUser, type TableUserOptions } from './table-user.ts';

export interface DeviceTablesOptions extends TableUserOptions {
  catalog: ClientCatalogOptions;
}

export class DeviceTables {
  catalog: ClientCatalog;
  /** Of whom the names of its tables rely on the order of what it sends. */
  readonly isOnlyMaker: boolean;
  readonly isBulky: boolean;
  readonly #options: DeviceTablesOptions;
  readonly #user: TableUser;
  #hasStarted = false;

  constructor(options: DeviceTablesOptions) {
    const { isMaker, isOnlyMaker, bulk } = options;
    this.#options = options;
    this.isOnlyMaker = isMaker && isOnlyMaker;
    this.isBulky = bulk === 'filled by it';
    this.catalog = new ClientCatalog(options.catalog);
    this.#user = new TableUser(options);
  }

  /** Whether it has much to write before anything else. */
  get isFilling(): boolean {
    return this.#user.isFilling(this.catalog);
  }

  /** Whether it has just made the table that another fills: it drops it unaware of what comes to it. */
  dropsUnseen(acknowledged: WireChangeSet): boolean {
    if (this.#options.bulk !== 'filled by another' || !this.catalog.has('big')) return false;
    const isMade = acknowledged.schemaMigrations.some(({ table }) => table === 'big');
    return isMade && this.#options.random.chance(0.5);
  }

  dropBig(): Deed {
    return this.#user.big(this.catalog);
  }

  act(): Deed | undefined {
    if (this.#hasStarted) return this.#user.act(this.catalog);
    this.#hasStarted = true;
    return this.#user.start();
  }

  wrote(set: WireChangeSet): void {
    this.catalog.write(set, this.#held(set));
  }

  heard(changeSets: readonly WireChangeSet[]): void {
    this.catalog.take(changeSets);
  }

  acknowledged(set: WireChangeSet): void {
    this.catalog.acknowledged(set);
  }

  /** @param pending of its own, what it has not been answered */
  startOver(chunks: readonly object[], pending: readonly WireChangeSet[]): void {
    const { strayed } = this.catalog;
    this.catalog = new ClientCatalog(this.#options.catalog);
    this.catalog.bootstrap(chunks);
    const known = this.catalog.newestDdlOf(pending[0]?.siteId ?? '');
    for (const set of pending) this.catalog.writeAgain(set, this.#held(set), known);
    // An answer to what it wrote before may come only now, and names its row alone.
    for (const key of strayed) this.catalog.strayed.add(key);
  }

  /** Where nobody takes back for it what is refused, it does so itself, at once. */
  #held(set: WireChangeSet) {
    const { rules } = this.#options;
    return rules.onReject === 'revert' ? set.changes : heldOf(set, rules);
  }
}
