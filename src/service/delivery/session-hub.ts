/** The sessions of one database. Pushes to each of them what the log gains. */

import type { Appended } from '../../engine/log-announcer.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import { Announcement } from './announcement.ts';
import { type LiveSession, START_OVER } from './live-session.ts';
import { PushPages } from './push-pages.ts';

export class SessionHub {
  readonly #manager: SyncManager;
  readonly #pushed: (changeSets: number) => void;
  /** Pages for sessions that are behind. */
  readonly pages: PushPages;
  readonly #sessions = new Set<LiveSession>();
  /**
   * Set while there are sessions. Without sessions the hub does not listen, so nothing is read from
   * the log.
   */
  #stop: (() => void) | undefined;

  /** @param pushed counts change sets that were pushed */
  constructor(manager: SyncManager, pushed: (changeSets: number) => void) {
    this.#manager = manager;
    this.#pushed = pushed;
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

  #announce(appended: Appended): void {
    if (appended.haveIdled) {
      for (const session of this.#sessions) void this.#endIdle(session);
    }
    const announcement = new Announcement(appended);
    let changeSets = 0;
    for (const session of this.#sessions) changeSets += session.push(announcement);
    announcement.close();
    this.#pushed(changeSets);
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
}
