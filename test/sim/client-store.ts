/**
 * What a simulated client keeps its replica in. It outlives the client, which may end between any two
 * commits: before one that it asked for, or after it without having heard so.
 */

import {
  type ClientStore,
  StoreError,
  type StoreOperation,
} from '../../packages/client/src/stores/store.ts';
import type { Loop } from './loop.ts';
import type { Random } from './random.ts';

const LATENCY_MAX_MS = 12;
const FULL = 0.01;

export interface ClientDiskOptions {
  loop: Loop;
  random: Random;
  /** Whether anything goes wrong at the moment. */
  isTroubled(): boolean;
  /** The client ends here. */
  crash(): void;
}

export class ClientDisk {
  commits = 0;
  readonly #entries = new Map<string, string>();
  readonly #options: ClientDiskOptions;

  constructor(options: ClientDiskOptions) {
    this.#options = options;
  }

  get(key: string): unknown {
    const text = this.#entries.get(key);
    return text === undefined ? undefined : JSON.parse(text);
  }

  keys(): string[] {
    return [...this.#entries.keys()];
  }

  /** @param owner the client's process: when it is killed nothing happens for it any more */
  mount(owner: string): ClientStore {
    const { loop, random } = this.#options;
    const later = (run: () => void) => loop.at(random.next() * LATENCY_MAX_MS, run, owner);
    return {
      load: () =>
        new Promise((resolve) => {
          later(() => resolve([...this.#entries].map(([key, text]) => [key, JSON.parse(text)])));
        }),
      commit: (operations) => {
        const text = JSON.stringify(operations);
        return new Promise((resolve, reject) => {
          later(() => {
            const { isTroubled, crash } = this.#options;
            if (isTroubled() && random.chance(FULL)) {
              reject(new StoreError('STORE_FULL', 'simulated'));
              return;
            }
            if (isTroubled() && random.chance(0.01)) return crash();
            this.#carryOut(JSON.parse(text));
            if (isTroubled() && random.chance(0.01)) return crash();
            resolve();
          });
        });
      },
      close: async () => undefined,
    };
  }

  #carryOut(operations: readonly StoreOperation[]): void {
    this.commits++;
    for (const operation of operations) {
      if (operation.type === 'put') {
        this.#entries.set(operation.key, JSON.stringify(operation.value));
      } else if (operation.type === 'delete') this.#entries.delete(operation.key);
      else {
        for (const key of this.#entries.keys()) {
          if (key.startsWith(operation.prefix)) this.#entries.delete(key);
        }
      }
    }
  }
}
