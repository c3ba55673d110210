/** Where a name led before: the short ways give what the long ones do. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import type { NameRecord, PastLead } from '../../../src/engine/records/table-record.ts';
import { joinedPast, newLeads, pastAt, withPast } from '../../../src/engine/tables/past-leads.ts';
import { Device } from '../../../src/testing/device.ts';

const device = new Device(1);
/** Pseudo-random, the same each time. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('leads that come one by one, in any order, are those that are sorted and joined at once', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = createRandom(seed);
    let name: NameRecord = { schema: 'main', table: 't', id: 1 };
    let past: readonly PastLead[] = [];
    for (let i = 0; i < 30; i++) {
      const lead: PastLead = [device.hlc(random(40)), random(4)];
      past = joinedPast([...past, lead]);
      const after = withPast(name, lead);
      assert.deepEqual(after.past ?? [], past);
      const before = new Set([name.id, ...(name.past ?? []).map(([, id]) => id)]);
      const added = [...newLeads(name, after)];
      for (const [, id] of past) assert.ok(before.has(id) || added.includes(id));
      name = after;
    }
    for (let at = -1; at < 41; at++) {
      const hlc: HlcText = device.hlc(Math.max(at, 0), at < 0 ? 0 : 1);
      assert.equal(
        pastAt(name, hlc),
        past.find(([until]) => compareHlc(hlc, until) < 0),
      );
    }
  }
});
