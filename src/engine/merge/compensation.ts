/**
 * Changes that the coordinator makes in answer to those of a device: what a hook rewrote and, for
 * that device alone, what is stored instead of a refused change.
 *
 * Such a change must win against the one that it answers, also at its author, whose clock may be
 * ahead, and against nothing else that would have won against that. So it gets the smallest greater
 * HLC of the coordinator's site. The HLC is a function of the answered one: if the device sends the
 * change again, the answer is a known change.
 */

import { createHash } from 'node:crypto';
import { COUNTER_MAX, decodeHlc, encodeHlc, type HlcText } from '../../clock/hlc.ts';
import type { SiteId } from '../../clock/site-id.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { Identity } from '../records/head.ts';

/**
 * opSeq has 32 bits: the place within the answered transaction, then bits of a hash of its site.
 */
const SITE_BITS = 12;
const PLACE_MAX = 2 ** (32 - SITE_BITS) - 1;

/** The coordinator's HLC for a change that answers another. */
export function answerHlc(answered: HlcText, siteId: SiteId): HlcText {
  const { wallTime, counter, siteId: author, opSeq } = decodeHlc(answered);
  const next =
    counter < COUNTER_MAX
      ? { wallTime, counter: counter + 1 }
      : { wallTime: wallTime + 1n, counter: 0 };
  // Two sites may have written at one (wallTime, counter); their answers must differ all the same.
  const siteMark = createHash('sha256').update(author).digest().readUInt16BE(0) >> (16 - SITE_BITS);
  const place = Math.min(opSeq, PLACE_MAX);
  return encodeHlc({ ...next, siteId, opSeq: place * 2 ** SITE_BITS + siteMark });
}

/** @param changeSet its changes and migrations have the HLCs of those that they answer */
export function toCompensation(changeSet: WireChangeSet, identity: Identity): WireChangeSet {
  const answer = <Item extends { hlc: HlcText }>(item: Item): Item => ({
    ...item,
    hlc: answerHlc(item.hlc, identity.siteId),
  });
  return {
    siteId: identity.siteIdText,
    transactionId: `corrected:${changeSet.transactionId}`,
    hlc: answerHlc(changeSet.hlc, identity.siteId),
    changes: changeSet.changes.map(answer),
    schemaMigrations: changeSet.schemaMigrations.map(answer),
  };
}
