/**
 * Who has to start over from a snapshot, since what they may see has changed. Who is known to
 * have to is noted down in the database until a whole snapshot has been sent; those who are away
 * are recognised when they come.
 */

import { siteIdToText } from '../clock/site-id.ts';
import type { ClientIdentity } from '../hooks/types.ts';
import { BoundedLog } from '../logging/bounded-log.ts';
import type { Logger } from '../logging/logger.ts';
import type { IdentityPredicate } from './identity-predicates.ts';
import type { OpenDatabase } from './open-database.ts';

/** Demands that are remembered for clients who are away; beyond it the oldest is forgotten. */
const DEMANDS_MAX = 1000;

interface Demand {
  predicate: IdentityPredicate;
  /** Database and site of each client that it has named; of others nothing is kept. */
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

  /** Notes down that the client has to start over, if a demand that it hasn't met yet says so. */
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
      // Starting over without need costs a snapshot; not doing so could show what is forbidden.
      this.#faults.addError('the predicate of a resync', undefined, error);
      return true;
    }
  }
}
