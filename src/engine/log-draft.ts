/** What takes effect of one change set: what will be logged of it, and who wrote what last. */

import type { HlcText } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import { ChangeListJson } from './change-json.ts';
import { SEVERAL_AUTHORS } from './log-record.ts';
import type { LogEntry } from './log-writer.ts';
import { NewestBySite } from './newest-by-site.ts';

type Author = LogEntry['author'];

export class LogDraft {
  readonly position: HlcText;
  readonly changes = new ChangeListJson();
  /** JSON of each. */
  readonly migrations: string[] = [];
  /** See `LogEntry`. */
  stale = false;
  /** Of changes that are logged, by the id of their table; of migrations under `undefined`. */
  readonly #logged = new Map<number | undefined, NewestBySite>();
  /** Of changes that are stored, and logged later. */
  readonly #held = new Map<number | undefined, NewestBySite>();

  constructor(position: HlcText) {
    this.position = position;
  }

  get isEmpty(): boolean {
    return this.changes.length + this.migrations.length === 0;
  }

  /** Takes the HLCs of a table's changes that took effect. @param held whether they are logged later */
  newestOf(tableId: number | undefined, held = false): NewestBySite {
    const byTable = held ? this.#held : this.#logged;
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

  /** The newest HLC of each site in each table. */
  *newest(): Iterable<{ tableId: number | undefined; site: SiteIdText; hlc: HlcText }> {
    for (const byTable of [this.#held, this.#logged]) {
      for (const [tableId, { entries }] of byTable) {
        for (const [site, hlc] of entries) yield { tableId, site, hlc };
      }
    }
  }

  /** Of what is logged. */
  get author(): Author {
    let author: Author | undefined;
    for (const { entries } of this.#logged.values()) {
      for (const site of entries.keys()) {
        if (author !== undefined && site !== author) return SEVERAL_AUTHORS;
        author = site;
      }
    }
    return author ?? SEVERAL_AUTHORS;
  }
}
