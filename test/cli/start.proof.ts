import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createDir } from '../config/temp-dir.ts';
import { runProcess, startProcess } from './run-process.ts';

for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const) {
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

test('a Node.js that is too old is refused in one line', async (t) => {
  for (const version of ['18.20.4', '20.18.3']) {
    const code = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } });
      Object.defineProperty(process, 'version', { value: 'v${version}' });`;
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
    const {
      code: exitCode,
      stdout,
      stderr,
    } = await runProcess(t, ['--version'], { cwd: createDir(t), env });
    assert.deepEqual(
      [exitCode, stdout, stderr],
      [1, '', `sync-coordinator: needs Node.js 20.19 or later, and this is v${version}\n`],
    );
  }
});

test('TypeScript needs no directory that could be written to, and nothing is', async (t) => {
  const empty = createDir(t);
  const cwd = createDir(t, {
    'sync-coordinator.config.ts': `import { hooks } from './more.ts'; export default { hooks, storage: 'memory:' } as object;`,
    'more.ts': `export const hooks: string[] = ['./hook.ts'];`,
    'hook.ts': `import { rows } from './rules.ts'; export default { onAuthorize: (): boolean => rows > 0 };`,
    'rules.ts': 'export const rows: number = 1;',
  });
  const before = readdirSync(cwd);
  // In /proc nobody can make a directory, root neither.
  for (const TMPDIR of ['/proc/no-such-directory', empty]) {
    const { code, stdout, stderr } = await runProcess(t, ['check'], { cwd, env: { TMPDIR } });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /1\. \.\/hook\.ts/);
    assert.doesNotMatch(stderr, /Deprecat|Experimental/);
  }
  assert.deepEqual(readdirSync(empty), []);
  assert.deepEqual(readdirSync(cwd), before);
});

test('it names the configuration file, or that there is none, and warns of what was perhaps meant', async (t) => {
  const cwd = createDir(t, {
    'sync-coordinator.yml': 'port: 0\nhost: 127.0.0.1\nstorage: "memory:"\n',
  });
  const named = startProcess(t, [], {
    cwd,
    env: { SYNC_AUTH_TOKEN: 'x', SYNC_PORT: 'tcp://10.0.0.1:3000' },
  });
  await named.waitFor(new RegExp(`config +${join(cwd, 'sync-coordinator.yml')}\n`));
  named.child.kill('SIGTERM');
  assert.equal(await named.ended, 0);
  assert.match(
    named.output.stderr,
    /warning: SYNC_AUTH_TOKEN is set, .* did you mean SYNC_AUTH_TOKENS\?/,
  );
  assert.match(named.output.stderr, /warning: SYNC_PORT is tcp:/);
  const none = startProcess(t, ['--port', '0', '--storage', 'memory:'], { cwd: createDir(t) });
  await none.waitFor(/config +none\n/);
  none.child.kill('SIGTERM');
  assert.equal(await none.ended, 0);
});

test('DEBUG of another program takes no line away', async (t) => {
  const cwd = createDir(t);
  const args = ['--host', '127.0.0.1', '--port', '0', '--storage', 'memory:'];
  for (const DEBUG of ['false', 'app:*', 'app:*,-sync-coordinator:http']) {
    const running = startProcess(t, args, { cwd, env: { DEBUG } });
    await running.waitFor(/hooks +none\n/);
    running.child.kill('SIGTERM');
    assert.equal(await running.ended, 0);
    assert.match(running.output.stderr, /sync-coordinator:server listening/, DEBUG);
  }
  const env = { DEBUG: 'sync-coordinator:ws' };
  const running = startProcess(t, args, { cwd, env });
  await running.waitFor(/hooks +none\n/);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0);
  assert.doesNotMatch(running.output.stderr, /sync-coordinator:server/);
});

// SIGUSR1, SIGPROF and SIGXFSZ are Node.js's own.
const OTHER_SIGNALS = [
  ...(['SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGABRT', 'SIGTRAP', 'SIGSYS'] as const),
  ...(['SIGUSR2', 'SIGXCPU'] as const),
];

test('what is no signal to stop ends it as it ends any process', async (t) => {
  const args = ['--host', '127.0.0.1', '--port', '0', '--storage', 'memory:'];
  const cwd = createDir(t);
  for (const signal of OTHER_SIGNALS) {
    const running = startProcess(t, args, { cwd });
    await running.waitFor(/hooks +none\n/);
    running.child.kill(signal);
    await running.ended;
    assert.equal(running.child.signalCode, signal);
  }
});
