import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configToText } from '../../src/cli/check.ts';
import { resolveConfig } from '../../src/config/resolve-config.ts';
import { createDir } from '../config/temp-dir.ts';
import { ROOT } from '../docs/pages.ts';
import { runProcess } from './run-process.ts';

test('check shows each value with its source, and who runs in which hook', async (t) => {
  const secret = 'a sekrit that is as long as they must be';
  const cwd = createDir(t, {
    'sync-coordinator.json': JSON.stringify({
      hooks: ['./hooks/allow.ts', ['sync-coordinator/hooks/jwt', { secret, audience: 'app' }]],
      host: '127.0.0.1',
    }),
    'hooks/allow.ts': 'export default { onAuthorize: (): boolean => true };\n',
  });
  chmodSync(join(cwd, 'sync-coordinator.json'), 0o600);
  const { code, stdout, stderr } = await runProcess(t, ['check', '--port', '8080'], {
    cwd,
    env: { SYNC_AUTH_MODE: 'token-whitelist', SYNC_AUTH_TOKENS: 'sekrit,other' },
  });
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.match(stdout, /^configuration file: .*sync-coordinator\.json$/m);
  assert.match(stdout, /^host +"127\.0\.0\.1" +file .*sync-coordinator\.json$/m);
  assert.match(stdout, /^port +8080 +flag --port$/m);
  assert.match(stdout, /^basePath +"\/sync" +default$/m);
  assert.match(stdout, /^auth\.tokens +\*\*\* \(2\) +env SYNC_AUTH_TOKENS$/m);
  const [, , hooks = ''] = stdout.split(/^(hooks:)$/m);
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const lines = hooks.trim().split('\n');
  assert.deepEqual(lines.slice(0, 4), [
    'onAuthenticate (first)',
    `  1. token-whitelist: sync-coordinator/hooks/token-whitelist, built in, version ${version}`,
    '     {"tokens":"*** (2)"}',
    `  2. jwt: sync-coordinator/hooks/jwt, built in, version ${version}`,
  ]);
  assert.match(lines[4] ?? '', /^ {5}\{"secret":"\*\*\*","audience":"app",/);
  assert.deepEqual(lines.slice(5, 9), [
    'onAuthenticated (pipeline): none',
    'onAuthorize (all)',
    '  1. ./hooks/allow.ts: hooks/allow.ts',
    'onBeforeApplyChanges (pipeline): none',
  ]);
  assert.equal(lines.at(-1), 'onClientDisconnect (notify): none');
  assert.doesNotMatch(stdout, /sekrit/);
});

test('check masks passwords in URLs', () => {
  const resolved = resolveConfig({ env: {}, overrides: { storage: 'postgres://me:sekrit@db/x' } });
  const text = configToText(resolved);
  assert.match(text, /^storage\.url +"postgres:\/\/me:\*\*\*@db\/x"/m);
  assert.doesNotMatch(text, /sekrit/);
});

test('check refuses a storage that the start would refuse, names who set it, and tells no password', async (t) => {
  const { code, stdout, stderr } = await runProcess(t, ['check'], {
    cwd: createDir(t),
    env: { SYNC_STORAGE: 'nope://me:sekrit@db/x' },
  });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^sync-coordinator: env SYNC_STORAGE: storage\.url names an unknown storage, nope:/,
  );
  assert.doesNotMatch(stdout + stderr, /sekrit/);
});

test('a configuration that is not JSON is refused with the place and the reason', async (t) => {
  const cwd = createDir(t, { 'sync-coordinator.json': '{"port": 1,}' });
  const { code, stderr } = await runProcess(t, ['check'], { cwd });
  assert.equal(code, 1);
  assert.match(stderr, /sync-coordinator\.json: .*JSON: line 1, column/);
  assert.equal(stderr.trimEnd().split('\n').length, 1);
});

test('check fails with all that is wrong, a line each', async (t) => {
  const { code, stdout, stderr } = await runProcess(t, ['check', '--log-level', 'loud'], {
    cwd: createDir(t),
    env: { SYNC_PORT: 'x' },
  });
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.equal(
    stderr,
    `sync-coordinator: env SYNC_PORT: port was "x", may be an integer from 0 to 65535
sync-coordinator: flag --log-level: logging.level was "loud", may be one of debug, info, warn, error
`,
  );
});

test('check leaves nothing behind, and tells modules that it is one', async (t) => {
  const cwd = createDir(t, {
    'sync-coordinator.json': JSON.stringify({
      hooks: [['sync-coordinator/hooks/audit-log', { file: './logs/audit.log' }], './mine.mjs'],
    }),
    'mine.mjs': `export default (_options, { isCheck, onClose }) => {
      console.log('set up:', isCheck);
      onClose(() => console.log('closed'));
      return { onAuthorize: () => true };
    };`,
  });
  const { code, stdout } = await runProcess(t, ['check'], { cwd });
  assert.equal(code, 0);
  assert.match(stdout, /set up: true[\s\S]*closed/);
  assert.deepEqual(readdirSync(cwd).sort(), ['mine.mjs', 'sync-coordinator.json']);
});

test('check fails with the hook module that is not there', async (t) => {
  const cwd = createDir(t);
  const { code, stderr } = await runProcess(t, ['check', '--hooks', './no.ts'], { cwd });
  assert.equal(code, 1);
  assert.match(stderr, /^sync-coordinator: hook module \.\/no\.ts: .*was not found.*\n$/);
  assert(stderr.includes(join(cwd)));
});

test('with DEBUG set the stack follows', async (t) => {
  const { stderr } = await runProcess(t, ['check', '--port', 'x'], {
    cwd: createDir(t),
    env: { DEBUG: 'nothing' },
  });
  assert.match(stderr, /may be an integer.*\n.*ConfigError.*[\s\S]*\n +at /);
});

test('help and version need no configuration', async (t) => {
  const cwd = createDir(t, { 'sync-coordinator.json': 'broken' });
  const help = await runProcess(t, ['--help'], { cwd });
  assert.equal(help.code, 0);
  const seedFlags = ['host', 'port', 'data-dir', 'cors-origin', 'auth-mode', 'auth-tokens'];
  for (const flag of [...seedFlags, 'log-level', 'config']) {
    assert.match(help.stdout, new RegExp(`^ +--${flag} <`, 'm'));
  }
  const version = await runProcess(t, ['--version'], { cwd });
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
});

test('a flag that does not exist is refused', async (t) => {
  const { code, stderr } = await runProcess(t, ['--prot', '1'], { cwd: createDir(t) });
  assert.equal(code, 1);
  assert.match(stderr, /unknown option '--prot'\n\(Did you mean --port\?\)/);
});

const hookText = (name: string) => `
import { type CoordinatorHooks, defineHooks } from 'sync-coordinator';
import { inner } from './inner.ts';
const hooks: CoordinatorHooks = { onAuthorize: () => inner };
export default defineHooks({ name: '${name}', hooks });
`;
for (const type of ['module', 'commonjs']) {
  test(`in a package of type ${type} TypeScript imports TypeScript`, async (t) => {
    const cwd = createDir(t, {
      'package.json': JSON.stringify({ type }),
      'sync-coordinator.config.ts': `
        import { port } from './shared.ts';
        export default { port, hooks: ['./hooks/a.ts', './hooks/b.mts'] };`,
      'shared.ts': 'export const port: number = 4321;',
      'hooks/a.ts': hookText('plain'),
      'hooks/b.mts': hookText('explicit'),
      'hooks/inner.ts': "import { deep } from './deep.ts'; export const inner: boolean = deep;",
      'hooks/deep.ts': 'export const deep: boolean = true;',
    });
    const { code, stdout, stderr } = await runProcess(t, ['check'], { cwd });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /port +4321/);
    assert.match(stdout, /1\. plain: .*\n +2\. explicit: /);
  });
}
