/** The sessions of one database: tells each of them when the log has grown. */

import { isAmongAuthors } from '../engine/log/log-record.ts';
import type { Appended } from '../engine/log-announcer.ts';
import type { SyncManager } from '../engine/sync-manager.ts';
import { changeSetsFrame } from './frames.ts';
import type { LiveSession, Push } from './live-session.ts';
import { PushPages } from './push-pages.ts';

export class SessionHub {
  readonly #manager: SyncManager;
  /** For those that are behind. */
  readonly pages: PushPages;
  readonly #sessions = new Set<LiveSession>();
  /** Listens only while there are sessions: for nobody, nothing of what others wrote is read. */
  #stop: (() => void) | undefined;

  constructor(manager: SyncManager) {
    this.#manager = manager;
    this.pages = new PushPages(manager);
  }

  get size(): number {
    return this.#sessions.size;
  }

  add(session: LiveSession): void {
    this.#sessions.add(session);
    this.#stop ??= this.#manager.onAppended((appended) => this.#announce(appended));
  }

  delete(session: LiveSession): void {
    this.#sessions.delete(session);
    if (this.#sessions.size === 0) this.#stopListening();
  }

  /** Ends every session that is left; its client may come back at once. */
  close(): void {
    this.#stopListening();
    for (const session of this.#sessions) session.disconnect();
    this.#sessions.clear();
  }

  #stopListening(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** One frame serves all who have no part in what was written; each author, and whom alone something is for, gets one of its own. */
  #announce(appended: Appended): void {
    const { records = [] } = appended;
    const authors = new Set(records.map((record) => record.authors));
    const recipients = new Set(records.map(({ to }) => to));
    let shared: { push: Push | undefined } | undefined;
    for (const session of this.#sessions) {
      session.push(appended, () => {
        if (recipients.has(session.siteId)) return this.#frame(appended, session.siteId);
        for (const joined of authors) {
          if (isAmongAuthors(session.siteId, joined)) return this.#frame(appended, session.siteId);
        }
        shared ??= { push: this.#frame(appended, undefined) };
        return shared.push;
      });
    }
  }

  #frame({ records = [], catalog }: Appended, reader: string | undefined): Push | undefined {
    const changeSets = records.flatMap(
      (record) => this.#manager.deliverable(record, reader, catalog) ?? [],
    );
    if (changeSets.length === 0) return undefined;
    return { bytes: changeSetsFrame('push', changeSets), changeSets: changeSets.length };
  }
}
