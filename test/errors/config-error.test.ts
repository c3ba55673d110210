import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type LoadConfigOptions, loadConfig } from '../../src/config/resolve-config.ts';
import { ConfigError } from '../../src/errors/config-error.ts';
import { createDir } from '../config/temp-dir.ts';

function faultsOf(options: LoadConfigOptions): ConfigError {
  try {
    loadConfig({ env: {}, ...options });
  } catch (error) {
    assert(error instanceof ConfigError);
    return error;
  }
  throw new assert.AssertionError({ message: 'the configuration was accepted' });
}

test('a wrong value is refused with who gave it, what it was and what it may be', (t) => {
  const { message, faults } = faultsOf({ cwd: createDir(t), env: { SYNC_PORT: '99999' } });
  assert.equal(message, 'env SYNC_PORT: port was "99999", may be an integer from 0 to 65535');
  assert.deepEqual(faults, [
    {
      source: 'env SYNC_PORT',
      name: 'port',
      value: '"99999"',
      expected: 'an integer from 0 to 65535',
    },
  ]);
});

test('all that is wrong is told at once', (t) => {
  const cwd = createDir(t, {
    'sync-coordinator.json': JSON.stringify({ prot: 1, limits: { mesageBytes: 2 }, cors: 5 }),
  });
  const file = join(cwd, 'sync-coordinator.json');
  const { message } = faultsOf({
    cwd,
    env: { SYNC_CORS_CREDENTIALS: 'maybe', SYNC_LIMITS_SESSIONS: '1.5' },
    flags: { '--log-level': 'loud', '--base-path': 'sync/' },
    overrides: { host: '' },
  });
  assert.deepEqual(message.split('\n').sort(), [
    'env SYNC_CORS_CREDENTIALS: cors.credentials was "maybe", may be true or false',
    'env SYNC_LIMITS_SESSIONS: limits.sessions was "1.5", may be an integer from 1 to 1000000',
    `file ${file}: cors was 5, may be an object of options`,
    `file ${file}: limits.mesageBytes is not an option; did you mean limits.messageBytes?`,
    `file ${file}: prot is not an option; did you mean port?`,
    'flag --base-path: basePath was "sync/", may be a path that begins with "/" and does not end with one, or "/" for the root',
    'flag --log-level: logging.level was "loud", may be one of debug, info, warn, error',
    'override: host was "", may be a host name or an IP address',
  ]);
});

test('a file that fails does not hide what else is wrong', (t) => {
  const { faults } = faultsOf({
    cwd: createDir(t, { 'sync-coordinator.json': '{' }),
    env: { SYNC_PORT: 'x' },
  });
  assert.equal(faults.length, 2);
});

test('a whitelist without tokens is refused', (t) => {
  const { message } = faultsOf({ cwd: createDir(t), env: { SYNC_AUTH_MODE: 'token-whitelist' } });
  assert.match(message, /^env SYNC_AUTH_MODE: auth.tokens has no tokens/);
});

test('no secret is in an error', (t) => {
  const secrets: unknown[] = [
    { auth: { tokens: 'sekrit' } },
    { auth: { tokens: ['sekrit', 5] } },
    { auth: { token: 'sekrit' } },
    { auth: 'sekrit' },
    { auth: ['sekrit'] },
    { hooks: [['./a.ts', { key: 'sekrit' }, 'more']] },
    { storage: ' postgres://me:sekrit@db/x' },
  ];
  for (const secret of secrets) {
    const configPath = 'sync.json';
    const dir = createDir(t, { [configPath]: JSON.stringify(secret) });
    const { message } = faultsOf({ cwd: dir, configPath });
    assert.doesNotMatch(message, /sekrit/);
  }
});
