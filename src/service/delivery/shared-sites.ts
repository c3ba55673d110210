/**
 * Warns of a site id that two devices have, for instance after a backup was restored to another
 * device. Neither is sent what the other writes, since delivery leaves out a site's own changes. A
 * device that comes back before its old connection was found dead also has two sessions for a
 * while. So a site id counts as shared only when the older session sends something again.
 */

import type { SiteIdText } from '../../clock/site-id.ts';
import { BoundedLog } from '../../logging/bounded-log.ts';
import { createLogger, type Logger } from '../../logging/logger.ts';

/** How many site ids are remembered as reported. Bounded, since clients choose their site ids. */
const TOLD_MAX = 10_000;

/** The part of a session that is needed here. */
export interface SiteSession {
  readonly siteId: SiteIdText;
  readonly database: { readonly id: string };
  readonly joinedAs: { readonly remoteAddress?: string | undefined };
}

export class SharedSites {
  readonly #log: BoundedLog;
  /** Of most sites there is one session, which takes no set. */
  readonly #sessionsBySite = new Map<string, SiteSession | Set<SiteSession>>();
  /** Sessions after which another one of their site has come. */
  readonly #elder = new Set<SiteSession>();
  readonly #told = new Set<string>();
  /** How many shared site ids were found. */
  count = 0;

  constructor(logger: Logger = createLogger('sync-coordinator:service')) {
    this.#log = new BoundedLog({ logger, level: 'warn', verb: 'shared a site id' });
  }

  add(session: SiteSession): void {
    const key = keyOf(session);
    const known = this.#sessionsBySite.get(key);
    if (known === undefined) {
      this.#sessionsBySite.set(key, session);
      return;
    }
    const sessions = known instanceof Set ? known : new Set([known]);
    if (!this.#told.has(key)) for (const elder of sessions) this.#elder.add(elder);
    this.#sessionsBySite.set(key, sessions.add(session));
  }

  delete(session: SiteSession): void {
    const key = keyOf(session);
    const sessions = this.#sessionsBySite.get(key);
    this.#elder.delete(session);
    if (sessions === session) this.#sessionsBySite.delete(key);
    if (!(sessions instanceof Set) || !sessions.delete(session) || sessions.size > 1) return;
    // A single session that is left shares its site id with no other.
    for (const last of sessions) {
      this.#elder.delete(last);
      this.#sessionsBySite.set(key, last);
    }
  }

  /** The session's client has sent something. */
  heard(session: SiteSession): void {
    if (this.#elder.size === 0 || !this.#elder.has(session)) return;
    const key = keyOf(session);
    const sessions = this.#sessionsBySite.get(key);
    if (sessions instanceof Set) for (const one of sessions) this.#elder.delete(one);
    this.#remember(key);
    this.count++;
    this.#tell(session);
  }

  #remember(key: string): void {
    this.#told.add(key);
    const [oldest] = this.#told;
    if (this.#told.size > TOLD_MAX && oldest !== undefined) this.#told.delete(oldest);
  }

  #tell({ siteId, database, joinedAs }: SiteSession): void {
    const text =
      'two live sessions have the site id %s in database %s: neither sees what the other writes; give each device a site id of its own';
    this.#log.add({
      source: joinedAs.remoteAddress,
      write: (logger) => logger.warn(text, siteId, database.id),
    });
  }

  /** Logs how many warnings were left out. To be called at the end. */
  flush(): void {
    this.#log.flush();
  }
}

function keyOf({ siteId, database }: { siteId: SiteIdText; database: { id: string } }): string {
  return `${siteId} ${database.id}`;
}
