/**
 * Limits the operations and the changes of each user in a second. A client over the limit is told
 * when to come back.
 *
 * Values that a client can choose freely, such as the database, do not give it a further share.
 */

import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { type Static, Type } from 'typebox';
import { siteIdToText } from '../../clock/site-id.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { addressToSource } from '../client-source.ts';
import { defineHooks } from '../define-hooks.ts';
import type { ClientIdentity } from '../types.ts';

const Rate = (description: string) =>
  Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000_000, description }));

const Options = Type.Object({
  operationsPerSecond: Rate('How many operations (reads, batches, snapshots) each may begin.'),
  changesPerSecond: Rate('How many changes each may send; a change set counts for one at least.'),
  burstSeconds: Type.Number({
    default: 10,
    minimum: 1,
    maximum: 86_400,
    description: 'For how long the limits may be saved up and then be used at once.',
  }),
});

export type RateLimitOptions = Partial<Static<typeof Options>>;

/** The longest time for which one large batch blocks a client. */
const DEBT_SECONDS_MAX = 86_400;

interface Limit {
  name: 'operations' | 'changes';
  perSecond: number;
  /** The most that may be used within `burstSeconds`. */
  points: number;
  limiter: RateLimiterMemory;
}

export default defineHooks({
  name: 'rate-limit',
  options: Options,
  setup({ operationsPerSecond, changesPerSecond, burstSeconds }, { metrics }) {
    const toLimit = (name: Limit['name'], perSecond: number | undefined): Limit | undefined => {
      if (perSecond === undefined) return undefined;
      const points = Math.max(1, Math.floor(perSecond * burstSeconds));
      const limiter = new RateLimiterMemory({ points, duration: burstSeconds });
      return { name, perSecond, points, limiter };
    };
    const operations = toLimit('operations', operationsPerSecond);
    const changes = toLimit('changes', changesPerSecond);
    if (operations === undefined && changes === undefined) {
      throw new Error('it needs the option operationsPerSecond or changesPerSecond');
    }
    const refusals = metrics.counter('refusals_total', 'Operations that were refused.', ['limit']);

    async function take(limit: Limit, client: ClientIdentity, count: number): Promise<void> {
      try {
        await consume(limit, toKey(client), count);
      } catch (refusal) {
        if (!(refusal instanceof RateLimiterRes)) throw refusal;
        refusals.inc({ limit: limit.name });
        const { name, perSecond } = limit;
        const retryAfterMs = Math.max(1, refusal.msBeforeNext);
        const message = `more than ${perSecond} ${name} a second; try again in ${retryAfterMs} ms`;
        throw new SyncError('RATE_LIMITED', message, { retryAfterMs });
      }
    }

    return {
      async onAuthorize(client, operation) {
        if (operations !== undefined) await take(operations, client, 1);
        if (changes !== undefined && operation.type === 'apply_changes') {
          // An empty batch costs work, too.
          await take(changes, client, Math.max(1, operation.changeCount));
        }
        return true;
      },
    };
  },
});

/**
 * A batch that is larger than the limit allows at once passes if nothing is used, and then blocks
 * the client for longer.
 */
async function consume({ limiter, points }: Limit, key: string, count: number): Promise<void> {
  await limiter.consume(key, Math.min(count, points));
  if (count <= points) return;
  const debtSeconds = (limiter.duration * count) / points;
  await limiter.block(key, Math.min(debtSeconds, DEBT_SECONDS_MAX));
}

/**
 * The key of a client: its user, or else its address. If neither is known, behind an untrusted
 * proxy, it is the site, which clients choose themselves. Each kind has a prefix, since the name of
 * a user may be any text.
 */
function toKey({ userId, siteId, remoteAddress }: ClientIdentity): string {
  if (userId !== undefined) return `user ${userId}`;
  return remoteAddress === undefined
    ? `site ${siteIdToText(siteId)}`
    : `address ${addressToSource(remoteAddress)}`;
}
