/** The global scope, of which each runtime has other parts: the one place that takes it for granted. */

/** @returns it, as what is used of it; what may be missing somewhere is to be optional in `T` */
export function globalsAs<T extends object>(): T {
  return globalThis as unknown as T;
}
