/**
 * Collects what takes effect of one change set: its future log record, and the newest HLC of each
 * site.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import { ChangeListJson } from '../records/change-json.ts';
import { NewestBySite } from '../records/newest-by-site.ts';
import { joinAuthors } from './log-record.ts';
import { RunWriter } from './record-tables.ts';

export class LogDraft {
  readonly position: HlcText;
  readonly changes = new ChangeListJson();
  /** Each as JSON. */
  readonly migrations: string[] = [];
  /** The tables of `changes`. */
  readonly tables = new RunWriter();
  /** The newest HLCs of changes that are logged. */
  readonly logged = new NewestBySite();
  /** The same of changes that are stored now and logged later, which is rare. */
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

  /** Each site with its newest HLC. A site may be there twice. */
  *newest(): Generator<[SiteIdText, HlcText]> {
    yield* this.logged.entries;
    yield* this.held.entries;
  }

  /** The sites of the logged changes, joined with commas. */
  get authors(): string {
    const sites: SiteIdText[] = [];
    for (const [site] of this.logged.entries) sites.push(site);
    return joinAuthors(sites);
  }
}
