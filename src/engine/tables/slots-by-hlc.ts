/**
 * Stored statements in the order of their HLCs: those between two HLCs are found without going
 * through the others, of which there may be tens of thousands.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { Slot } from '../records/table-record.ts';

/** Those of one HLC are in the order of their keys, so that each has one place. */
function compareSlots(a: Slot, b: Slot): number {
  return compareHlc(a.hlc, b.hlc) || (a.key < b.key ? -1 : Number(a.key > b.key));
}

export class SlotsByHlc {
  #slots: Slot[];

  constructor(slots: Iterable<Slot> = []) {
    this.#slots = [...slots].sort(compareSlots);
  }

  copy(): SlotsByHlc {
    const copy = new SlotsByHlc();
    copy.#slots = this.#slots.slice();
    return copy;
  }

  add(slot: Slot): void {
    this.#slots.splice(this.#placeOf(slot), 0, slot);
  }

  delete(slot: Slot): void {
    const place = this.#placeOf(slot);
    if (this.#slots[place]?.key === slot.key) this.#slots.splice(place, 1);
  }

  /** From one HLC, with its own, until before another: they may change only afterwards. */
  *between(from: HlcText, before: HlcText): Generator<Slot> {
    const end = this.#firstFrom(before);
    for (let place = this.#firstFrom(from); place < end; place++) {
      const slot = this.#slots[place];
      if (slot !== undefined) yield slot;
    }
  }

  #firstFrom(hlc: HlcText): number {
    return this.#firstWhere((slot) => compareHlc(slot.hlc, hlc) >= 0);
  }

  #placeOf(slot: Slot): number {
    return this.#firstWhere((other) => compareSlots(other, slot) >= 0);
  }

  /** @param isBehind holds for all from a certain one on, which is found by halving */
  #firstWhere(isBehind: (slot: Slot) => boolean): number {
    let [low, high] = [0, this.#slots.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const slot = this.#slots[middle];
      if (slot === undefined || isBehind(slot)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
