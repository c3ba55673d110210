/** The sessions of one database. Pushes to each of them what the log gains. */

import { isAmongAuthors } from '../engine/log/log-record.ts';
import type { Appended } from '../engine/log-announcer.ts';
import type { SyncManager } from '../engine/sync-manager.ts';
import type { Reservation } from './byte-budget.ts';
import { pushFrame } from './frames.ts';
import { type LiveSession, type Push, START_OVER } from './live-session.ts';
import { PushPages } from './push-pages.ts';

export class SessionHub {
  readonly #manager: SyncManager;
  /** Pages for sessions that are behind. */
  readonly pages: PushPages;
  readonly #sessions = new Set<LiveSession>();
  /**
   * Set while there are sessions. Without sessions the hub does not listen, so nothing is read from
   * the log.
   */
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

  /** Ends all sessions; their clients may come back at once. */
  close(): void {
    this.#stopListening();
    for (const session of this.#sessions) session.disconnect();
    this.#sessions.clear();
  }

  #stopListening(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /**
   * Makes one frame for all sessions that have no part in the changes. Each author, and each
   * recipient of a revert, gets a frame of its own.
   */
  #announce(appended: Appended): void {
    const { records = [], haveIdled } = appended;
    if (haveIdled) for (const session of this.#sessions) void this.#endIdle(session);
    const authors = new Set(records.map((record) => record.authors));
    const recipients = new Set(records.map(({ to }) => to));
    const isIts = (site: string) => {
      if (recipients.has(site)) return true;
      for (const joined of authors) if (isAmongAuthors(site, joined)) return true;
      return false;
    };
    let shared: { push: Push | undefined } | undefined;
    const ends: (() => void)[] = [];
    for (const session of this.#sessions) {
      session.push(appended, (tryReserve) => {
        const isShared = !isIts(session.siteId);
        if (isShared && shared !== undefined) return shared.push;
        const reader = isShared ? undefined : session.siteId;
        const push = this.#frame(appended, reader, (bytes) => tryReserve(bytes, isShared));
        if (push !== undefined) ends.push(push.share());
        if (isShared) shared = { push };
        return push;
      });
    }
    for (const end of ends) end();
  }

  /**
   * Makes a session start over if its site has to, by anything but a batch of this process. Until
   * it does, the site gets no reverts.
   */
  async #endIdle(session: LiveSession): Promise<void> {
    // If the state cannot be read, the client is told when it next asks.
    const isIdle = await this.#manager.held.isIdle(session.siteId).catch(() => false);
    if (isIdle && this.#sessions.has(session)) session.startOver(START_OVER);
  }

  #frame(
    { records = [], catalog }: Appended,
    reader: string | undefined,
    tryReserve: (bytes: number) => Reservation | undefined,
  ): Push | undefined {
    const changeSets = records.flatMap(
      (record) => this.#manager.log.deliverable(record, reader, catalog) ?? [],
    );
    if (changeSets.length === 0) return undefined;
    const room = tryReserve(changeSets.reduce((bytes, { length }) => bytes + length, 0));
    const bytes = room && pushFrame(changeSets);
    let users = 0;
    const taken = () => {
      users--;
      if (users === 0) room?.give();
    };
    const share = () => {
      users++;
      return taken;
    };
    return { bytes, changeSets: changeSets.length, share };
  }
}
