/** Signals that come before the server is there: while modules are imported, or a hook module is set up. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createDir } from '../config/temp-dir.ts';
import { startProcess } from './run-process.ts';

/** A module that is set up once there is a file. */
const SLOW = `
import { existsSync } from 'node:fs';
export default async () => {
  console.log('being set up');
  while (!existsSync(new URL('./go', import.meta.url))) await new Promise((done) => setTimeout(done, 20));
  return { onAuthorize: () => true };
};
`;
const ARGS = ['--port', '0', '--storage', 'memory:'];

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
  test(`${signal} ends a server whose hook module is being set up`, async (t) => {
    const cwd = createDir(t, {
      'slow.mjs': SLOW,
      'sync-coordinator.config.mjs': `export default { hooks: ['./slow.mjs'] };`,
    });
    const running = startProcess(t, ARGS, { cwd });
    await running.waitFor(/being set up\n/);
    running.child.kill(signal);
    assert.equal(await running.ended, 0, running.output.stderr);
    assert.match(running.output.stdout, new RegExp(`${signal}: stopping\n`));
  });
}

test('SIGHUPs that come before the server is there are answered once when it is', async (t) => {
  const cwd = createDir(t, {
    'slow.mjs': SLOW,
    'sync-coordinator.config.mjs': `export default { hooks: ['./slow.mjs'] };`,
  });
  const running = startProcess(t, ARGS, { cwd });
  await running.waitFor(/being set up\n/);
  for (let i = 0; i < 20; i++) running.child.kill('SIGHUP');
  writeFileSync(join(cwd, 'go'), '');
  await running.waitFor(/SIGHUP: tokens and 1 hook module loaded anew\n/);
  running.child.kill('SIGTERM');
  assert.equal(await running.ended, 0, running.output.stderr);
  assert.equal(running.output.stdout.match(/loaded anew/g)?.length, 1);
});

const EARLY = new URL('../../src/cli/early-signals.ts', import.meta.url).href;

/** A process that has only begun. */
async function begin(t: { after(end: () => void): void }, code: string) {
  const args = ['--import', 'tsx', '--input-type=module', '-e'];
  const script = `import { leaveSignals, watchSignals } from '${EARLY}'; ${code}`;
  const child = spawn(process.execPath, [...args, script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  while (!output.includes('begun\n')) await once(child.stdout, 'data');
  return { child, output: () => output };
}

const WAITING = `watchSignals(); setTimeout(() => console.log('begun')); setInterval(() => {}, 1000);`;

test('a signal to stop ends a process that has only begun, by that signal', async (t) => {
  const { child } = await begin(t, WAITING);
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM']);
});

test('a hang-up does not, and is told to who takes over', async (t) => {
  const { child, output } = await begin(
    t,
    `${WAITING} process.once('SIGHUP', () => setImmediate(() => {
      console.log(leaveSignals(), process.listenerCount('SIGTERM'));
      process.exit();
    }));`,
  );
  child.kill('SIGHUP');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.match(output(), /true 0\n/);
});

test('SIGUSR1 opens no debugger, and says what to send instead', async (t) => {
  const running = startProcess(t, ARGS, { cwd: createDir(t) });
  await running.waitFor(/hooks +none\n/);
  const { child } = running;
  child.kill('SIGUSR1');
  child.kill('SIGHUP');
  await running.waitFor(/SIGHUP: .+\n/);
  child.kill('SIGTERM');
  assert.equal(await running.ended, 0, running.output.stderr);
  assert.match(running.output.stderr, /SIGUSR1 does nothing here: SIGHUP loads tokens/);
  assert.doesNotMatch(running.output.stderr, /Debugger listening/);
});
