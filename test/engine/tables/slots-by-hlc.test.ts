/** Statements in the order of their HLCs. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareHlc, HLC_MIN } from '../../../src/clock/hlc.ts';
import { type Slot, toSlot } from '../../../src/engine/records/table-record.ts';
import { SlotsByHlc } from '../../../src/engine/tables/slots-by-hlc.ts';
import { Device } from '../../../src/testing/device.ts';

const device = new Device(1);
const HLCS = Array.from({ length: 8 }, () => device.migrate('add_index', 'i').hlc);
const END = device.migrate('add_index', 'i').hlc;

function slotOf(hlc: string, name: number): Slot {
  const [migration] = device.migrate('add_index', `i${name}`).schemaMigrations;
  assert.ok(migration);
  return toSlot({ ...migration, hlc, at: hlc });
}

function keysOf(slots: Iterable<Slot>): string[] {
  return [...slots].map(({ key, hlc }) => `${hlc} ${key}`).sort();
}

test('those between two HLCs are found, whatever came and went in whatever order', () => {
  const hlc = fc.constantFrom(...HLCS);
  const change = fc.record({ hlc, name: fc.nat(9), isRemoved: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change), fc.array(change), hlc, hlc, (first, changes, from, before) => {
      const all = new Map(first.map((of) => [of.name, slotOf(of.hlc, of.name)]));
      const loaded = new SlotsByHlc(all.values());
      const unchanged = keysOf(all.values());
      const slots = loaded.copy();
      for (const { hlc: at, name, isRemoved } of changes) {
        const known = all.get(name);
        if (known !== undefined) slots.delete(known);
        all.delete(name);
        if (isRemoved) continue;
        const slot = slotOf(at, name);
        slots.add(slot);
        all.set(name, slot);
      }
      const kept = [...all.values()];
      const isBetween = (slot: Slot) =>
        compareHlc(slot.hlc, from) >= 0 && compareHlc(slot.hlc, before) < 0;
      assert.deepEqual(keysOf(slots.between(from, before)), keysOf(kept.filter(isBetween)));
      assert.deepEqual(keysOf(loaded.between(HLC_MIN, END)), unchanged);
    }),
  );
});
