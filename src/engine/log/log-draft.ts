/** What takes effect of one change set: what will be logged of it, and who wrote what last. */

import type { HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import { ChangeListJson } from '../records/change-json.ts';
import { NewestBySite } from '../records/newest-by-site.ts';
import { joinAuthors } from './log-record.ts';
import { RunWriter } from './record-tables.ts';

export class LogDraft {
  readonly position: HlcText;
  readonly changes = new ChangeListJson();
  /** JSON of each. */
  readonly migrations: string[] = [];
  /** The tables of the changes. */
  readonly tables = new RunWriter();
  /** Of changes that are logged. */
  readonly logged = new NewestBySite();
  /** Of changes that are stored, and logged later; hardly ever there are any. */
  readonly held = new NewestBySite();

  constructor(position: HlcText) {
    this.position = position;
  }

  get isEmpty(): boolean {
    return this.changes.length + this.migrations.length === 0;
  }

  addMigration(hlc: HlcText, json: string): void {
    this.migrations.push(json);
    this.logged.add(hlc);
  }

  /** Of each site what it wrote last. A site may be there twice. */
  *newest(): Generator<[SiteIdText, HlcText]> {
    yield* this.logged.entries;
    yield* this.held.entries;
  }

  /** Of what is logged, joined with commas. */
  get authors(): string {
    const sites: SiteIdText[] = [];
    for (const [site] of this.logged.entries) sites.push(site);
    return joinAuthors(sites);
  }
}
