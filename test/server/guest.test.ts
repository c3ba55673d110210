/** A program that embeds the coordinator keeps its process as it was. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

/** Says what of the process is other than before, after a coordinator has been started and stopped in it. */
const EMBEDDER = `
  import Module from 'node:module';
  import { runInNewContext } from 'node:vm';

  const look = () => ({
    listeners: process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
    // Node.js makes one of its own when fetch is first looked at.
    globals: Reflect.ownKeys(globalThis).map(String).filter((name) => !name.includes('undici')),
    gc: runInNewContext('typeof gc'),
    resolve: Module._resolveFilename.toString(),
    load: Module._load.toString(),
    umask: process.umask(),
    env: JSON.stringify(process.env),
    title: process.title,
  });
  const before = look();
  const { createCoordinatorServer, loadConfig } = await import(process.argv[1]);
  const config = loadConfig({ env: {}, overrides: { port: 0, host: '127.0.0.1', storage: 'memory:' } });
  const server = await createCoordinatorServer({ config });
  await server.start();
  const during = look();
  await server.stop();
  console.log(JSON.stringify({ before, during, after: look() }));
`;

test('neither importing nor starting the library changes anything of the process', async () => {
  const index = new URL('../../dist/src/index.js', import.meta.url).href;
  const args = ['--input-type=module', '--eval', EMBEDDER, index];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { before, during, after } = JSON.parse(stdout);
  assert.deepEqual(during, before);
  assert.deepEqual(after, before);
});
