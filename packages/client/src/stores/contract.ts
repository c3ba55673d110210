/**
 * Tests of what the client relies on in a store. Every store runs them, also those of other packages,
 * with any runner and in any environment:
 *
 *     import { test } from 'node:test';
 *     import { clientStoreContract } from '@sync-coordinator/client/testing';
 *     clientStoreContract({ test, open: (name) => myStore(name) });
 */

import { type ClientStore, type StoredValue, StoreError, type StoreOperation } from './store.ts';

export interface ClientStoreContractOptions {
  /** Registers a test, such as `test` of `node:test`, or `it`. */
  test(name: string, run: () => Promise<void>): unknown;
  /**
   * Opens what is kept under a name, which is made up for each test. A store that was closed is opened
   * again by its name.
   */
  open(name: string): ClientStore | Promise<ClientStore>;
  /**
   * Whether values are taken as they are, without being copied or written: then no value is one that
   * can't be stored. Default: false.
   */
  keepsReferences?: boolean;
}

type Entries = Record<string, StoredValue>;

/** Registers the tests. */
export function clientStoreContract(options: ClientStoreContractOptions): void {
  const { test, open, keepsReferences = false } = options;
  let names = 0;

  /** A test of one store, which may be closed and opened again. */
  function check(title: string, run: (store: Reopened) => Promise<void>): void {
    const name = `contract-${++names}`;
    test(`a store: ${title}`, async () => {
      const store = new Reopened(name, open, await open(name));
      try {
        await store.expect({});
        await run(store);
      } finally {
        await store.close();
      }
    });
  }

  check('holds what was committed, also after it was opened again', async (store) => {
    await store.commit([put('a', 1), put('b', { c: [null, 'text'] })]);
    await store.expect({ a: 1, b: { c: [null, 'text'] } });
    await store.reopen();
    await store.expect({ a: 1, b: { c: [null, 'text'] } });
  });

  check('can be written before it was read', async (store) => {
    await store.reopen();
    await store.commit([put('a', 1)]);
    await store.reopen();
    await store.commit([put('b', 2)]);
    await store.expect({ a: 1, b: 2 });
  });

  check('carries out operations in their order', async (store) => {
    await store.commit([
      put('a/1', 1),
      { type: 'clear', prefix: 'a/' },
      put('a/2', 2),
      put('b', 1),
      { type: 'delete', key: 'b' },
      put('c', 1),
      put('c', 2),
      { type: 'delete', key: 'd' },
      put('d', 1),
    ]);
    const expected = { 'a/2': 2, c: 2, d: 1 };
    await store.expect(expected);
    await store.reopen();
    await store.expect(expected);
  });

  check('takes an empty batch, and deletes what is not there', async (store) => {
    await store.commit([]);
    await store.commit([
      { type: 'delete', key: 'a' },
      { type: 'clear', prefix: 'b' },
    ]);
    await store.expect({});
  });

  check('clears by the beginning of a key, and nothing else', async (store) => {
    const kept = ['row/1', 'row/10/a', 'row/2/a', 'row0', 'ROW/1/a', 'rox'];
    const cleared = ['row/1/', 'row/1/a', 'row/1/\u0000', 'row/1/\uffff', 'row/1/\uffff\uffffz'];
    await store.commit([...kept, ...cleared].map((key) => put(key, key)));
    await store.commit([{ type: 'clear', prefix: 'row/1/' }]);
    const expected = Object.fromEntries(kept.map((key) => [key, key]));
    await store.expect(expected);
    await store.reopen();
    await store.expect(expected);
    await store.commit([put('\uffff\uffffa', 1), put('\uffff', 2)]);
    await store.commit([{ type: 'clear', prefix: '\uffff\uffff' }]);
    await store.expect({ ...expected, '\uffff': 2 });
    await store.commit([{ type: 'clear', prefix: '' }]);
    await store.expect({});
  });

  check('has keys of any text', async (store) => {
    const keys = [
      '',
      ' ',
      '__proto__',
      'constructor',
      'a\u0000b',
      'line\nbreak\r\u2028',
      '\ud800',
      '\udc00\ud800',
      '😀',
      'é',
      'e\u0301',
      '"quoted\\',
      'x'.repeat(5_000),
    ];
    await store.commit(keys.map((key, i) => put(key, i)));
    const count = async () => {
      const entries = new Map(await store.load());
      keys.forEach((key, i) => {
        equal(entries.get(key), i, JSON.stringify(key.slice(0, 20)));
      });
      equal(entries.size, keys.length, 'the number of entries');
    };
    await count();
    await store.reopen();
    await count();
    await store.commit(keys.map((key) => ({ type: 'delete', key })));
    await store.expect({});
  });

  check('keeps values equal as JSON', async (store) => {
    const values: StoredValue[] = [
      null,
      false,
      0,
      -1.5e-300,
      Number.MAX_SAFE_INTEGER,
      '',
      '\ud800 \u0000 \u2028 😀',
      '\u0000',
      '\u0000["a"]',
      ['\u0000', '__proto__', 1e300],
      Array.from({ length: 1_000 }, (_, i) => ({ i, cells: { a: ['hlc', i] } })),
      [],
      {},
      [[], [null, { a: [{}] }]],
      JSON.parse('{"__proto__": {"a": 1}, "constructor": 2, "": 3, "10": 1, "2": 2}'),
      Object.assign(Object.create(null), { a: ['x', 1] }),
      { a: undefined, b: 1 },
      'y'.repeat(300_000),
    ];
    await store.commit(values.map((value, i) => put(`${i}`, value)));
    const expected = Object.fromEntries(values.map((value, i) => [`${i}`, value]));
    await store.expect(expected);
    await store.reopen();
    await store.expect(expected);
  });

  check('takes a large batch', async (store) => {
    const operations = Array.from({ length: 20_000 }, (_, i) => put(`row/${i}`, { i, text: 'x' }));
    await store.commit(operations);
    await store.reopen();
    const entries = new Map(await store.load());
    equal(entries.size, 20_000, 'the number of entries');
    equal(entries.get('row/19999'), { i: 19_999, text: 'x' }, 'the last one');
    await store.commit([{ type: 'clear', prefix: 'row/' }, put('a', 1)]);
    await store.expect({ a: 1 });
  });

  check('takes many batches that write the same', async (store) => {
    for (let i = 0; i <= 300; i++) {
      await store.commit([put('meta', { i, text: 'z'.repeat(100) }), put(`row/${i % 7}`, i)]);
    }
    const expected: Entries = { meta: { i: 300, text: 'z'.repeat(100) } };
    for (let i = 294; i <= 300; i++) expected[`row/${i % 7}`] = i;
    await store.reopen();
    await store.expect(expected);
  });

  check('is closed twice, and then takes nothing', async (store) => {
    await store.commit([put('a', 1)]);
    await store.close();
    await store.close();
    await failsWith('STORE_UNAVAILABLE', () => store.commit([put('a', 2)]));
    await store.reopen();
    await store.expect({ a: 1 });
  });

  if (!keepsReferences) {
    check('has nothing of a batch that failed', async (store) => {
      await store.commit([put('a', 1)]);
      const unstorable = Object.defineProperty({}, 'value', {
        enumerable: true,
        get: () => {
          throw new Error('this value can not be read');
        },
      });
      await failsWith(undefined, () =>
        store.commit([
          put('a', 2),
          put('b', 1),
          { type: 'clear', prefix: '' },
          put('c', unstorable),
          put('d', 1),
        ]),
      );
      await store.expect({ a: 1 });
      await store.commit([put('e', 1)]);
      await store.reopen();
      await store.expect({ a: 1, e: 1 });
    });
  }

  check('commits nothing where a condition is not met', async (store) => {
    await store.commit([put('a', 'x')], { key: 'lead', value: undefined });
    await store.commit([put('lead', '1')], { key: 'lead', value: undefined });
    await failsWith('STORE_TAKEN', () =>
      store.commit([put('b', 1), { type: 'clear', prefix: '' }], { key: 'lead', value: '2' }),
    );
    await failsWith('STORE_TAKEN', () =>
      store.commit([put('b', 1)], { key: 'lead', value: undefined }),
    );
    await failsWith('STORE_TAKEN', () => store.commit([], { key: 'none', value: '1' }));
    await store.commit([put('lead', '2')], { key: 'lead', value: '1' });
    await store.expect({ a: 'x', lead: '2' });
  });
}

/** A store under test. */
class Reopened {
  readonly #name: string;
  readonly #open: ClientStoreContractOptions['open'];
  #store: ClientStore;

  constructor(name: string, open: ClientStoreContractOptions['open'], store: ClientStore) {
    this.#name = name;
    this.#open = open;
    this.#store = store;
  }

  commit(...batch: Parameters<ClientStore['commit']>): Promise<void> {
    return this.#store.commit(...batch);
  }

  load(): ReturnType<ClientStore['load']> {
    return this.#store.load();
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async reopen(): Promise<void> {
    await this.#store.close();
    this.#store = await this.#open(this.#name);
  }

  async expect(expected: Entries): Promise<void> {
    equal(Object.fromEntries(await this.#store.load()), expected, 'what is stored');
  }
}

function put(key: string, value: StoredValue): StoreOperation {
  return { type: 'put', key, value };
}

function equal(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [toCanonical(actual), toCanonical(expected)];
  if (a !== b) throw new Error(`${what}: ${shorten(a)} instead of ${shorten(b)}`);
}

/** JSON with the members of objects in the order of their names. */
function toCanonical(value: unknown): string {
  const text = JSON.stringify(value, (_, member: unknown) => {
    if (typeof member !== 'object' || member === null || Array.isArray(member)) return member;
    const members = Object.entries(member).filter(([, inner]) => inner !== undefined);
    return { members: members.sort(([a], [b]) => (a < b ? -1 : 1)) };
  });
  return text ?? 'undefined';
}

function shorten(text: string): string {
  return text.length > 500 ? `${text.slice(0, 500)}…` : text;
}

/** @param code any code where it is missing */
async function failsWith(code: string | undefined, run: () => Promise<unknown>): Promise<void> {
  let thrown: unknown;
  try {
    await run();
  } catch (error) {
    thrown = error;
  }
  if (thrown === undefined) throw new Error(`it did not fail with ${code ?? 'any error'}`);
  if (!(thrown instanceof StoreError) || (code !== undefined && thrown.code !== code)) {
    throw new Error(`it failed otherwise than with ${code ?? 'a StoreError'}: ${thrown}`, {
      cause: thrown,
    });
  }
}
