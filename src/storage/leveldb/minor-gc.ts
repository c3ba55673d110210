/**
 * Has V8 collect what was read and is done with. What a store gives is 100 bytes of V8's heap an
 * entry, and its content outside of it. V8 collects young garbage when the heap's share of it is
 * full, and doesn't look at what hangs on it: reading a database from end to end left 40 MiB behind
 * before the first of it was freed.
 *
 * V8's collector is the process's to give: the command does, and a program that embeds the
 * coordinator does by being started with `--expose-gc`.
 */

/** A collection takes about 0.5 ms where little is alive. */
const BYTES_PER_COLLECTION = 2 * 1024 * 1024;

type Collector = (options: { type: 'minor' }) => void;

let uncollected = 0;
let collector: Collector | undefined = globalThis.gc;

/** @param collect V8's `gc` */
export function collectWith(collect: Collector): void {
  collector = collect;
}

/** To be told how much has been read, before the next is. */
export function noteRead(bytes: number): void {
  uncollected += bytes;
  if (uncollected < BYTES_PER_COLLECTION) return;
  uncollected = 0;
  collector?.({ type: 'minor' });
}
