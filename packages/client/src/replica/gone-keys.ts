/**
 * Keys of writes and outcomes that were deleted. They are never written again, so what other tabs tell
 * of them was late.
 */

import type { StoreOperation } from '../stores/store.ts';
import { FATE, OUT } from './entries.ts';

/** So many are remembered. */
const GONE_MAX = 10_000;

export class GoneKeys {
  readonly #keys = new Set<string>();

  isLate(operation: StoreOperation): boolean {
    return operation.type === 'put' && this.#keys.has(operation.key);
  }

  /** Learns from what is carried out. */
  observe(operations: readonly StoreOperation[]): void {
    for (const operation of operations) {
      if (operation.type === 'clear') continue;
      const { type, key } = operation;
      if (type === 'put') this.#keys.delete(key);
      else if (key.startsWith(OUT) || key.startsWith(FATE)) this.#keys.add(key);
    }
    for (const key of this.#keys) {
      if (this.#keys.size <= GONE_MAX) break;
      this.#keys.delete(key);
    }
  }
}
