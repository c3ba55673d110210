/** The catalog within one transaction: as it was known, and a fork from the first change of it on. */

import type { KVReader } from '../storage/kv-store.ts';
import { Catalog, type TableRecord } from './catalog.ts';

/** The catalog, and the `catalogVersion` of the head that it was read with. */
export interface CatalogState {
  catalog: Catalog;
  version: number;
}

export class CatalogDraft {
  #known: CatalogState;
  #fork: Catalog | undefined;

  constructor(known: CatalogState) {
    this.#known = known;
  }

  get current(): Catalog {
    return this.#fork ?? this.#known.catalog;
  }

  /** Whether the transaction has changed it beyond statistics. */
  get isForked(): boolean {
    return this.#fork !== undefined;
  }

  /**
   * To be called before anything is changed.
   * @param version the one that the store holds
   * @returns whether what was known is of that version; else it has been read anew
   */
  async bringTo(version: number, reader: KVReader): Promise<boolean> {
    if (version === this.#known.version) return true;
    this.#known = { catalog: await Catalog.load(reader), version };
    return false;
  }

  /** To make changes to. */
  fork(): Catalog {
    this.#fork ??= this.#known.catalog.fork();
    return this.#fork;
  }

  /** The table of that name, which becomes one if there is none. */
  tableNamed(schema: string, table: string): TableRecord {
    return this.current.liveTable(schema, table) ?? this.fork().createTable(schema, table);
  }
}
