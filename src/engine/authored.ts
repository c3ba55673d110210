/**
 * Changes that the coordinator makes itself, in answer to a device's: what a hook rewrote, and
 * what it refused, put back to what is stored.
 *
 * Such a change must win against the one it answers, also at its author, whose clock may be
 * ahead; and against nothing else that would have won. So it gets the smallest HLC of the
 * coordinator's that is greater. The HLC follows from the one answered alone: when the device
 * sends the same change again, the answer is known already.
 */

import { createHash } from 'node:crypto';
import { COUNTER_MAX, compareHlc, decodeHlc, encodeHlc, type HlcText } from '../clock/hlc.ts';
import type { SiteId } from '../clock/site-id.ts';
import type { WireChange, WireChangeSet } from '../wire/schemas.ts';
import type { Identity } from './head.ts';
import type { Row } from './row.ts';

/** opSeq is 32 bits: the place within the transaction answered, then some of its site. */
const SITE_BITS = 12;
const PLACE_MAX = 2 ** (32 - SITE_BITS) - 1;

/** The coordinator's HLC for a change that answers another. */
export function answerHlc(answered: HlcText, siteId: SiteId): HlcText {
  const { wallTime, counter, siteId: author, opSeq } = decodeHlc(answered);
  const next =
    counter < COUNTER_MAX
      ? { wallTime, counter: counter + 1 }
      : { wallTime: wallTime + 1n, counter: 0 };
  // Two sites may have written at one (wallTime, counter); their answers are two HLCs still.
  const siteMark = createHash('sha256').update(author).digest().readUInt16BE(0) >> (16 - SITE_BITS);
  const place = Math.min(opSeq, PLACE_MAX);
  return encodeHlc({ ...next, siteId, opSeq: place * 2 ** SITE_BITS + siteMark });
}

/** @param changeSet each of its changes and migrations with the HLC that it answers */
export function toAuthored(changeSet: WireChangeSet, identity: Identity): WireChangeSet {
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

/**
 * What makes a device that kept a refused change agree with what is stored: the stored value,
 * or a delete where there is no row. Nothing, where something newer is stored and sent anyway.
 * @param row the row as it is stored
 */
export function takeBack(change: WireChange, row: Row, siteId: SiteId): WireChange[] {
  const { schema, table, pk } = change;
  const hlc = answerHlc(change.hlc, siteId);
  if (row.cells.size === 0) {
    return change.type === 'delete' ? [] : [{ type: 'delete', schema, table, pk, hlc }];
  }
  const restore = (name: string, value: unknown): WireChange => ({
    ...{ type: 'column', schema, table, pk, column: name, value, hlc },
  });
  if (change.type === 'column') {
    const stored = row.cells.get(JSON.stringify(change.column));
    if (stored !== undefined && compareHlc(stored.hlc, change.hlc) > 0) return [];
    return [restore(change.column, stored === undefined ? null : JSON.parse(stored.value))];
  }
  return [...row.cells]
    .filter(([, cell]) => compareHlc(cell.hlc, hlc) < 0)
    .map(([name, cell]) => restore(JSON.parse(name), JSON.parse(cell.value)));
}
