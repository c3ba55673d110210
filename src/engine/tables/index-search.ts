/**
 * Tells whether DDL of indexes may be of a table: the text of a statement is all that names its
 * table. What one search may read is bounded: beyond it a table counts as named.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { CatalogView } from './catalog.ts';
import { WordSearch } from './word-search.ts';

/** The text that is searched for what a drop, or its pruning, asks: at 12 to 20 ns a character. */
const SEARCHED_MAX = 4 * 1024 * 1024;

/** To come to a statement takes as long as so many characters of its text, which may be empty. */
const CHARACTERS_A_STATEMENT = 5;

/** Characters whose search takes as long as reading a statement. */
const SEARCHED_A_READ = 100;

export class IndexSearch {
  readonly #catalog: CatalogView;
  readonly #schema: string;
  /** Characters that may be searched yet. */
  #left = SEARCHED_MAX;

  constructor(catalog: CatalogView, schema: string) {
    this.#catalog = catalog;
    this.#schema = schema;
  }

  /** Whether DDL of an index from one HLC until before another may be of this table. */
  mayName(table: string, from: HlcText, before: HlcText): boolean {
    const name = new WordSearch(table);
    for (const { ddl } of this.#catalog.indexSlots(this.#schema).between(from, before)) {
      this.#left -= CHARACTERS_A_STATEMENT + ddl.length;
      if (this.#left < 0 || name.isIn(ddl)) return true;
    }
    return false;
  }

  /** How many statements might have been read meanwhile. */
  get read(): number {
    return Math.ceil((SEARCHED_MAX - this.#left) / SEARCHED_A_READ);
  }
}
