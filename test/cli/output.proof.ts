import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { createDir } from '../config/temp-dir.ts';
import { BUILT_COMMAND } from '../support/built-command.ts';
import { startProcess } from './run-process.ts';

const ARGS = [
  ...['--host', '127.0.0.1', '--port', '0', '--storage', 'memory:', '--hooks', './loud.mjs'],
];
const URL_SAID = /http +(http:\/\/127\.0\.0\.1:\d+\/sync)\r?\n[\s\S]*loud/;
/** More than pipes, terminals and the server keep. */
const MUCH = 4_000_000;
const WAITING_MAX = 2_000_000;

/** Logs much from its first client on, and says how much that was. */
const LOUD = `
import { defineHooks } from 'sync-coordinator';
let said = 0;
let timer;
const waiting = () => Math.max(process.stdout.writableLength, process.stderr.writableLength);
function say() {
  console.log('x'.repeat(20000));
  console.error('y'.repeat(20000));
  said += 40000;
}
export default defineHooks({
  name: 'loud',
  setup(_, { status, onClose }) {
    status(() => {
      timer ??= setInterval(say, 1);
      return { said, waiting: waiting() };
    });
    onClose(() => clearInterval(timer));
    return { onAuthorize: () => true };
  },
});
`;

/** Resolves once it has said much, which it only does while it lives and answers. */
async function hearOfMuch(url: string): Promise<void> {
  for (let said = 0; said < MUCH; ) {
    const response = await fetch(`${url}/status`);
    const { loud } = JSON.parse(await response.text()).data.hooks;
    said = loud.said;
    assert.ok(loud.waiting < WAITING_MAX, `${loud.waiting} bytes wait`);
  }
}

/** Reads until it matches. */
async function hear(stream: Readable, pattern: RegExp): Promise<RegExpExecArray> {
  let said = '';
  for (;;) {
    const found = pattern.exec(said);
    if (found !== null) return found;
    const [data] = await once(stream, 'data');
    said += data;
  }
}

async function startLoud(t: TestContext) {
  const running = startProcess(t, ARGS, { cwd: createDir(t, { 'loud.mjs': LOUD }) });
  const [, url = ''] = await running.waitFor(URL_SAID);
  return { ...running, url };
}

test('a server whose output nobody can read any more goes on, and stops in order', async (t) => {
  const { child, ended, url } = await startLoud(t);
  child.stdout?.destroy();
  child.stderr?.destroy();
  await hearOfMuch(url);
  child.kill('SIGTERM');
  assert.equal(await ended, 0);
});

test('one whose output is not read neither waits nor grows, and says later what was lost', async (t) => {
  const { child, ended, output, url } = await startLoud(t);
  child.stdout?.pause();
  child.stderr?.pause();
  await hearOfMuch(url);
  child.stdout?.resume();
  child.stderr?.resume();
  while (!/\d+ lines of output were lost/.test(output.stderr)) {
    if (child.stderr !== null) await once(child.stderr, 'data');
  }
  child.kill('SIGTERM');
  assert.equal(await ended, 0);
});

test('one whose log goes to a full disk goes on', async (t) => {
  for (const full of ['stdout', 'stderr']) {
    const disk = openSync('/dev/full', 'w');
    t.after(() => closeSync(disk));
    const cwd = createDir(t, { 'loud.mjs': LOUD });
    const child = spawn(process.execPath, [BUILT_COMMAND, ...ARGS], {
      cwd,
      env: { PATH: process.env.PATH },
      stdio: ['ignore', full === 'stdout' ? disk : 'pipe', full === 'stderr' ? disk : 'pipe'],
    });
    t.after(() => child.kill('SIGKILL'));
    const readable = child.stdout ?? child.stderr;
    assert.ok(readable !== null);
    const [, origin = ''] = await hear(readable, /(http:\/\/127\.0\.0\.1:\d+)\S*\n/);
    readable.resume();
    await hearOfMuch(`${origin}/sync`);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null], full);
  }
});

test('a terminal that is held holds up nobody, and one that is closed stops the server in order', async (t) => {
  const cwd = createDir(t, { 'loud.mjs': LOUD });
  const code = join(cwd, 'code');
  execFileSync('mkfifo', [code]);
  // As an interactive shell does: the kernel tells it, and it tells what it runs.
  const line = `'${process.execPath}' '${BUILT_COMMAND}' ${ARGS.join(' ')} & trap "kill -HUP $!" HUP; wait $!; wait $!; echo $? > code`;
  const terminal = spawn('script', ['--quiet', '--command', line, '/dev/null'], {
    cwd,
    env: { PATH: process.env.PATH, SHELL: '/bin/sh' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => terminal.kill('SIGKILL'));
  const said = readFile(code, 'utf8');
  const [, url = ''] = await hear(terminal.stdout, URL_SAID);
  terminal.stdout.pause();
  await hearOfMuch(url);
  terminal.kill('SIGKILL');
  assert.equal(await said, '0\n');
});

test('a command whose reader goes away ends as it would have', async (t) => {
  const cwd = createDir(t, { 'loud.mjs': LOUD });
  const { child, ended } = startProcess(t, ['check', '--hooks', './loud.mjs'], { cwd });
  child.stdout?.destroy();
  child.stderr?.destroy();
  assert.equal(await ended, 0);
});
