/**
 * Starts minor garbage collections while a store is read. An entry takes 100 bytes of V8's heap,
 * and its content outside of it. V8 starts a minor collection by the size of its young heap alone,
 * without the content: reading a whole database took 40 MiB before the first of it was freed.
 *
 * Only the process can expose V8's collector: the command does, and a program that embeds the
 * coordinator does if it is started with `--expose-gc`.
 */

/** A collection takes about 0.5 ms if little is alive. */
const BYTES_PER_COLLECTION = 2 * 1024 * 1024;

type Collector = (options: { type: 'minor' }) => void;

let uncollected = 0;
let collector: Collector | undefined = globalThis.gc;

/** @param collect V8's `gc` */
export function collectWith(collect: Collector): void {
  collector = collect;
}

/** To be called with the bytes of each read, before the next one. */
export function noteRead(bytes: number): void {
  uncollected += bytes;
  if (uncollected < BYTES_PER_COLLECTION) return;
  uncollected = 0;
  collector?.({ type: 'minor' });
}
