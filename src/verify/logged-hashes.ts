/**
 * The set of cells and deletions in the log, as hashes of 53 bits. The chance that a missing one
 * goes unnoticed among some millions is below one in a billion.
 *
 * The size of a set is limited. A larger log is checked in several rounds, each with its own share
 * of all hashes.
 */

import type { HlcText } from '../clock/hlc.ts';
import { pkIdentity } from '../protocol/values.ts';

const FIRST_SIZE = 1024;

/** @param column JSON of its name; empty for a deletion */
export function hashWritten(pk: readonly unknown[], column: string, hlc: HlcText): number {
  return hash53(`${hlc}${column}\n${pkIdentity(pk)}`);
}

/** Two multiplicative hashes of 32 bits, mixed. Collisions can be made on purpose. */
function hash53(text: string): number {
  let a = 0x9e3779b1;
  let b = 0x85ebca6b;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    a = Math.imul(a ^ char, 0xcc9e2d51);
    b = Math.imul(b ^ char, 0x1b873593);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return (b & 0x1fffff) * 2 ** 32 + (a >>> 0);
}

/** The hashes of one round. */
export class LoggedHashes {
  readonly #round: number;
  readonly #rounds: number;
  /** Open addressing: each place has a hash plus one; 0 is free. */
  #places = new Float64Array(FIRST_SIZE);
  #count = 0;

  constructor(round: number, rounds: number) {
    this.#round = round;
    this.#rounds = rounds;
  }

  isOfRound(hash: number): boolean {
    return hash % this.#rounds === this.#round;
  }

  add(hash: number): void {
    if (!this.isOfRound(hash)) return;
    if (this.#count * 2 >= this.#places.length) this.#grow();
    const place = this.#find(hash);
    if (this.#places[place] !== 0) return;
    this.#places[place] = hash + 1;
    this.#count++;
  }

  has(hash: number): boolean {
    return this.#places[this.#find(hash)] !== 0;
  }

  #find(hash: number): number {
    const mask = this.#places.length - 1;
    let place = Math.floor(hash / this.#rounds) & mask;
    while (this.#places[place] !== 0 && this.#places[place] !== hash + 1)
      place = (place + 1) & mask;
    return place;
  }

  #grow(): void {
    const before = this.#places;
    this.#places = new Float64Array(before.length * 2);
    for (const kept of before) if (kept !== 0) this.#places[this.#find(kept - 1)] = kept;
  }
}
