/** What looks like a source of configuration and is none is said: else a server starts open that nobody meant to be. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig, resolveConfig } from '../../src/config/resolve-config.ts';
import { createDir } from './temp-dir.ts';

/** As Kubernetes sets them for a Service called `sync`, with a named port. */
const SERVICE_LINKS = {
  SYNC_PORT: 'tcp://10.96.0.7:3000',
  SYNC_PORT_3000_TCP: 'tcp://10.96.0.7:3000',
  SYNC_PORT_3000_TCP_ADDR: '10.96.0.7',
  SYNC_PORT_3000_TCP_PORT: '3000',
  SYNC_PORT_3000_TCP_PROTO: 'tcp',
  SYNC_SERVICE_HOST: '10.96.0.7',
  SYNC_SERVICE_PORT: '3000',
  SYNC_SERVICE_PORT_HTTP: '3000',
};

const notesOf = (env: Record<string, string>) => resolveConfig({ cwd: '/', env }).notes;

test('what Kubernetes tells of a Service called sync is ignored, with a note', (t) => {
  const { config, notes } = resolveConfig({ cwd: createDir(t), env: SERVICE_LINKS });
  assert.equal(config.port, 3000);
  assert.equal(notes.length, 1);
  assert.match(
    notes[0] ?? '',
    /^SYNC_PORT is tcp:.*, which Kubernetes sets for a Service called "sync"/,
  );
  const links = {
    SYNC_PORT: 'udp://[fd00::1]:53',
    SYNC_STORAGE_SERVICE_HOST: '10.0.0.1',
    SYNC_STORAGE_PORT: 'sctp://10.0.0.1:1',
  };
  const { config: other } = resolveConfig({
    cwd: createDir(t),
    env: links,
    flags: { '--port': '1' },
  });
  assert.equal(other.port, 1);
  assert.equal(notesOf(links).length, 1);
});

test('a wrong value that another source replaces is no reason to refuse', (t) => {
  const cwd = createDir(t, {
    'sync-coordinator.json': '{ "port": "none", "auth": { "mode": 7 } }',
  });
  const env = { SYNC_PORT: 'http', SYNC_AUTH_MODE: 'custom' };
  assert.equal(loadConfig({ cwd, env, flags: { '--port': '8080' } }).port, 8080);
  assert.throws(() => loadConfig({ cwd, env }), /env SYNC_PORT: port was "?http/);
});

const MEANT: Readonly<Record<string, string>> = {
  SYNC_AUTH_TOKEN: 'SYNC_AUTH_TOKENS',
  SYNC_AUTHMODE: 'SYNC_AUTH_MODE',
  SYNC_AUTH_TOKEN_FILE: 'SYNC_AUTH_TOKENS_FILE',
  SYNC_COORDINATOR_PORT: 'SYNC_PORT',
  SYNCCOORDINATOR_AUTH_MODE: 'SYNC_AUTH_MODE',
  sync_auth_mode: 'SYNC_AUTH_MODE',
  SYNC_LIMIT_SESSIONS: 'SYNC_LIMITS_SESSIONS',
  SYNCAUTH_MODE: 'SYNC_AUTH_MODE',
  'SYNC-AUTH-MODE': 'SYNC_AUTH_MODE',
  'sync.auth.mode': 'SYNC_AUTH_MODE',
};

for (const [name, meant] of Object.entries(MEANT)) {
  test(`${name} is warned of, and ${meant} offered`, () => {
    assert.deepEqual(notesOf({ [name]: 'x' }), [
      `${name} is set, and is no variable of ours: did you mean ${meant}?`,
    ]);
  });
}

test('a variable of another kind is warned of without a guess, and one of others is not', () => {
  const [note, ...others] = notesOf({
    SYNC_WHATEVER_ELSE: '1',
    SYNCTHING_HOME: '1',
    PATH: '/bin',
    SYNC_EMPTY: '',
  });
  assert.match(note ?? '', /^SYNC_WHATEVER_ELSE is set, .*--help lists them$/);
  assert.deepEqual(others, []);
});

const FILES: Readonly<Record<string, RegExp>> = {
  'sync-cordinator.config.ts': /did you mean sync-coordinator\.config\.ts\?$/,
  'sync_coordinator.yaml': /did you mean sync-coordinator\.yaml\?$/,
  'syncCoordinator.config.js': /did you mean sync-coordinator\.config\.js\?$/,
  '.sync-coordinatorrc': /did you mean sync-coordinator\./,
  'sync-coordinator.config.toml': /did you mean sync-coordinator\.config\./,
  'sync-coordinator.conf': /did you mean sync-coordinator\./,
  'sync-coordinator.config.ts.txt': /did you mean sync-coordinator\.config\.ts\?$/,
  'sync-coordinator.json~': /did you mean sync-coordinator\.json\?$/,
  'src/sync-coordinator.config.ts': /only .* is looked at; name it with --config$/,
  '.config/sync-coordinator/config.yaml': /only .* is looked at; name it with --config$/,
  '.config/sync-coordinator.json': /only .* is looked at; name it with --config$/,
  'config/sync-coordinator.yaml': /only .* is looked at; name it with --config$/,
};

for (const [name, reason] of Object.entries(FILES)) {
  test(`${name} is warned of`, (t) => {
    const cwd = createDir(t, { [name]: '{}' });
    const { filePath, notes } = resolveConfig({ cwd, env: {} });
    assert.equal(filePath, undefined);
    assert.equal(notes.length, 1);
    assert.ok(notes[0]?.startsWith(`${name} is there, and is not read: `), notes[0]);
    assert.match(notes[0] ?? '', reason);
    assert.deepEqual(resolveConfig({ cwd, env: {}, ...named(t) }).notes, []);
  });
}

/** Whoever names a file means that. */
function named(t: Parameters<typeof createDir>[0]) {
  return { configPath: join(createDir(t, { 'mine.json': '{}' }), 'mine.json') };
}

test('a file above, and a second one beside the one that is read, are warned of', (t) => {
  const above = createDir(t, { 'sync-coordinator.config.ts': '', 'app/sub/.keep': '' });
  const { notes } = resolveConfig({ cwd: join(above, 'app/sub'), env: {} });
  assert.match(
    notes.join('\n'),
    /^\.\.\/\.\.\/sync-coordinator\.config\.ts is there, and is not read/,
  );
  const cwd = createDir(t, { 'sync-coordinator.config.json': '{}', 'sync-coordinator.yaml': '' });
  assert.deepEqual(resolveConfig({ cwd, env: {} }).notes, [
    'sync-coordinator.yaml is there, and is not read: sync-coordinator.config.json comes before it',
  ]);
});

test('a key of package.json that is almost ours, or ours and above, is warned of', (t) => {
  const above = createDir(t, {
    'package.json': '{ "sync-coordinator": { "port": 1 } }',
    'app/package.json': '{ "syncCoordinator": { "port": 1 } }',
  });
  assert.deepEqual(resolveConfig({ cwd: join(above, 'app'), env: {} }).notes, [
    `../package.json is there, and is not read: only ${join(above, 'app')} is looked at; name it with --config`,
    'package.json has "syncCoordinator", which is not read: did you mean "sync-coordinator"?',
  ]);
});

test('what .env sets, and the environment does not, is warned of', (t) => {
  const cwd = createDir(t, { '.env': 'OTHER=1\nexport SYNC_AUTH_MODE=token-whitelist\n' });
  const [note, ...others] = resolveConfig({ cwd, env: {} }).notes;
  assert.match(note ?? '', /^\.env sets SYNC_AUTH_MODE, which is not set here: \.env is not read/);
  assert.deepEqual(others, []);
  assert.deepEqual(resolveConfig({ cwd, env: { SYNC_AUTH_MODE: 'none' } }).notes, []);
});

test('what is not alike is not warned of', (t) => {
  const cwd = createDir(t, {
    'sync.config.ts': '',
    'package.json': '{}',
    'coordinator.json': '',
    'hooks/sync-coordinator.ts': '',
  });
  assert.deepEqual(resolveConfig({ cwd, env: {} }).notes, []);
});
