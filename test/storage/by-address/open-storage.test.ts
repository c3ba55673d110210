import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { loadConfig } from '../../../src/config/resolve-config.ts';
import { openStorage } from '../../../src/storage/by-address/open-storage.ts';

async function directoryWith(
  t: TestContext,
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'sync-storage-'));
  t.after(() => rm(directory, { recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(directory, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  }
  return directory;
}

const MODULE = `
  export default async (options: { durability: string; dataDir: string }) => ({
    description: 'a storage of its own, ' + options.durability + ' in ' + options.dataDir,
    open: async () => { throw new Error('not in this test'); },
    close: async () => {},
  });
`;

describe('a storage is opened by its url', () => {
  test('memory:', async () => {
    const storage = await openStorage({ url: 'memory:', durability: 'fsync', dataDir: 'data' });
    assert.match(storage.description, /memory/);
  });

  test('leveldb: with a directory, from where the server runs', async (t) => {
    const directory = await directoryWith(t);
    const storage = await openStorage(
      { url: 'leveldb:./data', durability: 'os', dataDir: 'unused' },
      directory,
    );
    assert.ok(storage.description.includes(path.join(directory, 'data')), storage.description);
    assert.match(storage.description, /durability os/);
    await storage.close();
  });

  test('a module, by path or URL', async (t) => {
    const directory = await directoryWith(t, { 'storage.ts': MODULE });
    const file = path.join(directory, 'storage.ts');
    for (const url of ['./storage.ts', file, pathToFileURL(file).href]) {
      const storage = await openStorage({ url, durability: 'fsync', dataDir: 'data' }, directory);
      const place = path.join(directory, 'data');
      assert.equal(storage.description, `a storage of its own, fsync in ${place}`);
    }
  });
});

test('a package is the one beside the file that names it, not one of that name in the working directory', async (t) => {
  const packageOf = (description: string) => ({
    'node_modules/store/package.json': '{"name":"store","type":"module","exports":"./index.js"}',
    'node_modules/store/index.js': `export default () => ({
      description: '${description}', open() {}, close() {},
    });`,
  });
  const cwd = await directoryWith(t, packageOf('a shadow'));
  const elsewhere = await directoryWith(t, {
    ...packageOf('the one that is meant'),
    'sync-coordinator.json': '{"storage":"store"}',
  });
  const configPath = path.join(elsewhere, 'sync-coordinator.json');
  const described = async (flags: Readonly<Record<string, string>>) => {
    const { storage, dataDir } = loadConfig({ cwd, configPath, env: {}, flags });
    return (await openStorage({ ...storage, dataDir }, cwd)).description;
  };
  assert.equal(await described({}), 'the one that is meant');
  assert.equal(await described({ '--storage': 'store' }), 'a shadow');
  assert.equal(await described({ '--storage-from': elsewhere }), 'the one that is meant');
});

describe('a storage url that means nothing is refused', () => {
  const REFUSALS: readonly [url: string, message: RegExp][] = [
    [
      'redis://user:secret@host',
      /storage\.url names an unknown storage, redis: \(known are memory:/,
    ],
    ['postgres:', /names no host: postgres:/],
    ['leveldb:', /names no directory/],
    ['', /is empty/],
    ['./missing.ts', /\.\/missing\.ts.* was not found .*known are memory:/],
    ['no-such-package', /no-such-package.* was not found/],
    ['./empty.js', /empty\.js, whose default export is not a function/],
    ['./nothing.js', /nothing\.js, which made no storage/],
  ];
  for (const [url, message] of REFUSALS) {
    test(url.replace(/:\/\/.*/, '://…') || '(empty)', async (t) => {
      const directory = await directoryWith(t, {
        'package.json': '{"type":"module"}',
        'empty.js': 'export const a = 1;',
        'nothing.js': 'export default () => ({ open() {} });',
      });
      const error = await openStorage(
        { url, durability: 'fsync', dataDir: 'data' },
        directory,
      ).catch((e) => e);
      assert.equal(error.code, 'CONFIG_INVALID');
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /secret/);
    });
  }
});
