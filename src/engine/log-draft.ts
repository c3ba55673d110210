/** What takes effect of one change set: what will be logged of it, and who wrote what last. */

import type { HlcText } from '../clock/hlc.ts';
import { ChangeListJson } from './change-json.ts';
import { type LogRecord, SEVERAL_AUTHORS } from './log-record.ts';
import { NewestBySite } from './newest-by-site.ts';

type Author = LogRecord['author'];
/** By the id of a table; what migrations did, under `undefined`. */
type NewestByTable = Map<number | undefined, NewestBySite>;

export class LogDraft {
  readonly position: HlcText;
  readonly changes = new ChangeListJson();
  /** JSON of each. */
  readonly migrations: string[] = [];
  /** See `LogRecord`. */
  stale = false;
  /** Of changes that are logged. */
  readonly #logged: NewestByTable = new Map();
  /** Of changes that are stored, and logged later; hardly ever there are any. */
  #held: NewestByTable | undefined;

  constructor(position: HlcText) {
    this.position = position;
  }

  get isEmpty(): boolean {
    return this.changes.length + this.migrations.length === 0;
  }

  /** Takes the HLCs of a table's changes that took effect. @param held whether they are logged later */
  newestOf(tableId: number | undefined, held = false): NewestBySite {
    if (held) this.#held ??= new Map();
    const byTable = (held ? this.#held : undefined) ?? this.#logged;
    let newest = byTable.get(tableId);
    if (newest === undefined) {
      newest = new NewestBySite();
      byTable.set(tableId, newest);
    }
    return newest;
  }

  addMigration(hlc: HlcText, json: string): void {
    this.migrations.push(json);
    this.newestOf(undefined).add(hlc);
  }

  /** By tables. A table may be there twice. */
  get newest(): Iterable<[number | undefined, NewestBySite]> {
    return this.#held === undefined ? this.#logged : [...this.#held, ...this.#logged];
  }

  /** Of what is logged. */
  get author(): Author {
    let author: Author | undefined;
    for (const { entries } of this.#logged.values()) {
      for (const [site] of entries) {
        if (author !== undefined && site !== author) return SEVERAL_AUTHORS;
        author = site;
      }
    }
    return author ?? SEVERAL_AUTHORS;
  }
}
