/**
 * Remembers which clients have to start over from a snapshot because what they may see has changed.
 * A client that is connected, or comes back, is noted in its database until a whole snapshot has
 * been sent to it.
 */

import { siteIdToText } from '../../clock/site-id.ts';
import type { ClientIdentity } from '../../hooks/types.ts';
import { BoundedLog } from '../../logging/bounded-log.ts';
import type { Logger } from '../../logging/logger.ts';
import type { IdentityPredicate } from '../access/identity-predicates.ts';
import type { OpenDatabase } from '../access/open-database.ts';

/** How many demands are kept for clients that are away. Beyond it the oldest is dropped. */
const DEMANDS_MAX = 1000;

interface Demand {
  predicate: IdentityPredicate;
  /** Database and site of each client that the demand has named. Nothing is kept for others. */
  met: Set<string>;
}

export class Resyncs {
  readonly #demands = new Set<Demand>();
  readonly #logger: Logger;
  readonly #faults: BoundedLog;

  constructor(logger: Logger) {
    this.#logger = logger;
    this.#faults = new BoundedLog({ logger, level: 'error', verb: 'failed' });
  }

  demand(predicate: IdentityPredicate): void {
    const [oldest] = this.#demands;
    if (oldest !== undefined && this.#demands.size >= DEMANDS_MAX) {
      this.#demands.delete(oldest);
      this.#logger.warn('more than %d calls of resync: the oldest is forgotten', DEMANDS_MAX);
    }
    this.#demands.add({ predicate, met: new Set() });
  }

  /**
   * Notes in the database that the client has to start over, if a demand names it that it has not
   * met.
   */
  async meet(identity: ClientIdentity, { id, manager }: OpenDatabase): Promise<void> {
    const site = siteIdToText(identity.siteId);
    const client = `${id} ${site}`;
    const naming = [...this.#demands].filter(
      ({ met, predicate }) => !met.has(client) && this.#speaksOf(predicate, identity),
    );
    if (naming.length > 0) await manager.sites.requireResync(site);
    for (const { met } of naming) met.add(client);
  }

  #speaksOf(predicate: IdentityPredicate, identity: ClientIdentity): boolean {
    try {
      return predicate(identity);
    } catch (error) {
      // A needless start costs a snapshot; a missing one could reveal what is forbidden.
      this.#faults.addError('the predicate of a resync', undefined, error);
      return true;
    }
  }
}
