import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { init } from '../../src/cli/init.ts';
import { HOOKS } from '../../src/cli/init-flags.ts';
import { loadConfig } from '../../src/config/resolve-config.ts';
import { loadHooks } from '../../src/hooks/loading/loader.ts';
import { createDir } from '../config/temp-dir.ts';
import { ROOT } from '../docs/pages.ts';
import { surroundings } from '../hooks/support.ts';
import { runCommand } from '../package/command.ts';
import { runProcess } from './run-process.ts';

/** Streams of a terminal at which somebody answers each question in turn. */
function terminal(answers: readonly string[]) {
  const input = Object.assign(new PassThrough(), { isTTY: true });
  const output = new PassThrough();
  let said = '';
  const left = [...answers];
  output.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (text.endsWith('] ')) input.write(`${left.shift() ?? ''}\n`);
  });
  return { input, output, said: () => said, left };
}

const quiet = () => ({ input: new PassThrough(), output: new PassThrough() });

test('every combination loads, and type-checks', async (t) => {
  const dir = createDir(t);
  for (const authMode of ['none', 'token-whitelist', 'custom']) {
    for (const hook of HOOKS) {
      const cwd = join(dir, `${authMode}-${hook}`);
      await init(cwd, { authMode, hook, dataDir: "it's here" }, quiet());
      const config = loadConfig({ cwd, env: {} });
      assert.equal(config.auth.mode, authMode);
      assert.equal(config.dataDir, join(cwd, "it's here"));
      const loaded = await loadHooks(config, undefined, {
        fromDir: cwd,
        surroundings: surroundings(),
      });
      const extra = authMode === 'none' ? 0 : 1;
      assert.equal(loaded.length, 1 + extra);
      assert.ok(
        loaded.every(({ name }) => !name.includes('/')),
        'each has a name of its own',
      );
    }
  }
  const paths = { 'sync-coordinator': [join(ROOT, 'src/index.ts')] };
  const compilerOptions = { noEmit: true, rootDir: '/', paths };
  const extended = join(ROOT, 'tsconfig.json');
  const tsconfig = { extends: extended, compilerOptions, include: ['**/*.ts'] };
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(tsconfig));
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  await runCommand(`"${process.execPath}" "${join(ROOT, 'node_modules/tsc/bin/tsc')}" -p .`, dir);
});

test('at a terminal it asks three questions, and again where the answer is none', async (t) => {
  const cwd = createDir(t);
  const { input, output, said, left } = terminal(['everybody', 'none', '', 'rule']);
  await init(cwd, {}, { input, output });
  assert.deepEqual(left, []);
  assert.match(said(), /Who may connect\?.*one of token-whitelist, custom, none, please/s);
  assert.deepEqual(readdirSync(join(cwd, 'hooks')), ['rules.ts']);
  const { auth, dataDir } = loadConfig({ cwd, env: {} });
  assert.deepEqual([auth.mode, dataDir], ['none', join(cwd, '.data')]);
});

test('what flags say is not asked', async (t) => {
  const cwd = createDir(t);
  const { input, output, left } = terminal(['filter']);
  await init(cwd, { authMode: 'none', dataDir: 'd' }, { input, output });
  assert.deepEqual(left, []);
  assert.deepEqual(readdirSync(join(cwd, 'hooks')), ['filter.ts']);
});

test('each has a token of its own', async (t) => {
  const tokens = await Promise.all(
    [createDir(t), createDir(t)].map(async (cwd) => {
      await init(cwd, {}, quiet());
      return loadConfig({ cwd, env: {} }).auth.tokens;
    }),
  );
  assert.notDeepEqual(tokens[0], tokens[1]);
  assert.ok((tokens[0]?.[0]?.length ?? 0) >= 32);
});

test('what is there already stays, and nothing is half written', async (t) => {
  const cwd = createDir(t, { 'hooks/log-changes.ts': 'mine' });
  await assert.rejects(init(cwd, {}, quiet()), /hooks\/log-changes\.ts is there already/);
  assert.equal(existsSync(join(cwd, 'sync-coordinator.config.ts')), false);
  assert.equal(readFileSync(join(cwd, 'hooks/log-changes.ts'), 'utf8'), 'mine');
});

test('the command writes into an empty directory, and check is content with it', async (t) => {
  const cwd = createDir(t);
  const made = await runProcess(t, ['init', 'app', '--yes', '--hook', 'rule'], { cwd });
  assert.equal(made.code, 0, made.stderr);
  assert.match(
    made.stdout,
    /wrote app\/sync-coordinator\.config\.ts\nwrote app\/hooks\/rules\.ts\n/,
  );
  assert.match(made.stdout, /cd app && npx sync-coordinator check\n/);
  const checked = await runProcess(t, ['check'], { cwd: join(cwd, 'app') });
  assert.equal(checked.code, 0, checked.stderr);
  assert.match(checked.stdout, /1\. rules: \.\/hooks\/rules\.ts, hooks\/rules\.ts\n/);
  assert.doesNotMatch(
    checked.stdout,
    new RegExp(loadConfig({ cwd: join(cwd, 'app'), env: {} }).auth.tokens[0] ?? ''),
  );

  const again = await runProcess(t, ['init', 'app'], { cwd });
  assert.equal(again.code, 1);
  assert.match(
    again.stderr,
    /^sync-coordinator: sync-coordinator\.config\.ts is there already; nothing was written\n$/,
  );
  const wrong = await runProcess(t, ['init', 'b', '--auth-mode', 'all'], { cwd });
  assert.match(wrong.stderr, /--auth-mode: was "all", may be one of/);
  assert.equal(existsSync(join(cwd, 'b')), false);
});
