/**
 * A process that uses a data directory, for tests of locks, crashes and full disks:
 *
 *     node --import tsx leveldb-child.ts <directory> hold|copy|obey|write|fill
 *
 * It says what it did, a JSON line each.
 */

import { cp } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';

const [, , directory = '', mode = ''] = process.argv;
const say = (message: unknown) => process.stdout.write(`${JSON.stringify(message)}\n`);
const codeOf = (error: unknown) =>
  typeof error === 'object' && error !== null && 'code' in error ? error.code : String(error);

const storage = await createLevelStorage({ directory, durability: 'fsync' }).catch((error) => {
  say({ refused: codeOf(error) });
  process.exit(0);
});
const store = await storage.open('crash');

const MODES: Readonly<Record<string, () => Promise<void>>> = {
  /** Keeps the directory until it is killed. */
  async hold() {
    say('held');
    setInterval(() => {}, 60_000);
  },

  /** Does so after it has copied the directory, and so opened and closed each file, to `COPY`. */
  async copy() {
    await cp(directory, process.env.COPY ?? '', { recursive: true });
    say('copied');
    setInterval(() => {}, 60_000);
  },

  /** Copies the directory, as above; then does what each line of its input asks for. */
  async obey() {
    await cp(directory, process.env.COPY ?? '', { recursive: true });
    say('copied');
    const put = async () =>
      store.exclusive(async (transaction) => transaction.put(Buffer.of(1), Buffer.of(1)));
    const asked: Readonly<Record<string, () => Promise<unknown>>> = {
      write: put,
      read: () => store.getMany([Buffer.of(1)]),
      open: () => storage.open('other'),
      health: async () => storage.health?.check(),
      close: () => store.close(),
      stop: () => storage.close(),
    };
    for await (const line of createInterface({ input: process.stdin })) {
      await asked[line]?.().then(
        () => say('done'),
        (error) => say({ refused: codeOf(error) }),
      );
    }
  },

  /** Writes three keys a transaction, without end, and says each number once it is acknowledged. */
  async write() {
    for (let number = 0; ; number++) {
      await store.exclusive(async (transaction) => {
        for (const part of ['a', 'b', 'c']) {
          transaction.put(Buffer.from(`${part}${number}`), Buffer.alloc(10_000, part));
        }
      });
      say(number);
    }
  },

  /** To be run where files may have 2 MiB: writes until it fails, tries on, then opens again. */
  async fill() {
    const put = (opened: typeof store, key: string, bytes: number) =>
      opened.exclusive(async (transaction) => {
        transaction.put(Buffer.from(`${key}-first`), Buffer.alloc(1));
        transaction.put(Buffer.from(key), Buffer.alloc(bytes, key));
        transaction.put(Buffer.from(`${key}-last`), Buffer.alloc(1));
      });
    const acknowledged: string[] = [];
    let failed = '';
    for (let number = 0; failed === ''; number++) {
      const key = `k${number}`;
      await put(store, key, 300_000).then(
        () => acknowledged.push(key),
        (error) => {
          failed = key;
          say({ failed, code: codeOf(error), cause: String(error.cause) });
        },
      );
    }
    let ran = false;
    const late = store.exclusive(async () => {
      ran = true;
    });
    await late.catch((error) => say({ late: codeOf(error), ran }));
    const keys = [failed, `${failed}-first`].map((key) => Buffer.from(key));
    say({ visible: (await store.getMany(keys)).filter((value) => value !== undefined).length });
    await store.close();
    const again = await storage.open('crash');
    await put(again, 'again', 1000);
    acknowledged.push('again');
    say({ acknowledged });
    await storage.close();
  },
};

await MODES[mode]?.();
