import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createDir } from '../config/temp-dir.ts';
import { runProcess, startProcess } from './run-process.ts';

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`it says where it listens, and ${signal} ends it cleanly`, async (t) => {
    const args = ['--host', '127.0.0.1', '--port', '0'];
    const running = startProcess(t, args, { cwd: createDir(t) });
    const [, url] = await running.waitFor(
      /http +(http:\/\/127\.0\.0\.1:\d+\/sync)\n[\s\S]*hooks .*\n/,
    );
    const response = await fetch(`${url}/status`);
    assert.equal(response.status, 200);
    running.child.kill(signal);
    assert.equal(await running.ended, 0);
    assert.match(running.output.stdout, /ws +ws:\/\/127\.0\.0\.1:\d+\/sync\/ws\n/);
    assert.match(running.output.stdout, /auth +none\n/);
    const [warning, ...others] = running.output.stderr.match(/^.*warning.*$/gm) ?? [];
    assert.match(warning ?? '', /: every web page /);
    assert.deepEqual(others, []);
  });
}

test('it warns where every web page may read and write', async (t) => {
  const args = ['--host', '127.0.0.1', '--port', '0', '--storage', 'memory:'];
  for (const origin of ['true', '*', 'https://app.example']) {
    const running = startProcess(t, [...args, '--cors-origin', origin], { cwd: createDir(t) });
    await running.waitFor(/hooks +none\n/);
    running.child.kill('SIGTERM');
    assert.equal(await running.ended, 0);
    assert.equal(running.output.stderr.includes('every web page'), !origin.startsWith('https:'));
  }
});

test('it warns where everybody may connect', async (t) => {
  const running = startProcess(t, ['--port', '0', '--storage', 'memory:'], { cwd: createDir(t) });
  await running.waitFor(/hooks +none\n/);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
  assert.match(running.output.stderr, /warning: auth\.mode is "none" and the host is 0\.0\.0\.0/);
});

test('it does not where a hook module says who may', async (t) => {
  const cwd = createDir(t);
  writeFileSync(join(cwd, 'guard.mjs'), 'export default { onAuthorize: () => false };\n');
  const args = ['--port', '0', '--storage', 'memory:', '--hooks', './guard.mjs'];
  const running = startProcess(t, args, { cwd });
  await running.waitFor(/guard\.mjs \(onAuthorize\)\n/);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
  assert.equal(running.output.stderr.includes('auth.mode is "none"'), false);
});

test('a port that is taken is one line', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const address = other.address();
  assert(typeof address === 'object' && address !== null);
  const args = ['--host', '127.0.0.1', '--port', String(address.port)];
  const { code, stderr } = await runProcess(t, args, { cwd: createDir(t) });
  assert.equal(code, 1);
  assert.match(stderr, /^sync-coordinator: port \d+ of 127\.0\.0\.1 is taken: .*\n$/);
});

test('a data directory that another process holds is one line', async (t) => {
  const cwd = createDir(t);
  const args = ['--host', '127.0.0.1', '--port', '0'];
  const first = startProcess(t, args, { cwd });
  await first.waitFor(/hooks +none\n/);
  const { code, stdout, stderr } = await runProcess(t, args, { cwd });
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /^sync-coordinator: .*\.data.*\n$/);
  first.child.kill('SIGTERM');
  await first.ended;
});

test('a data directory that can not be one is one line', async (t) => {
  const cwd = createDir(t, { file: '' });
  const args = ['--host', '127.0.0.1', '--port', '0', '--data-dir', 'file'];
  const { code, stderr } = await runProcess(t, args, { cwd });
  assert.equal(code, 1);
  assert.match(stderr, /^sync-coordinator: .*file.*\n$/);
});
