import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { debugOf, loadConfig, resolveConfig } from '../../src/config/resolve-config.ts';
import { createDir } from './temp-dir.ts';

test('nothing has to be configured', (t) => {
  const cwd = createDir(t);
  const config = loadConfig({ cwd, env: {} });
  assert.equal(config.host, '0.0.0.0');
  assert.equal(config.port, 3000);
  assert.equal(config.basePath, '/sync');
  assert.deepEqual(config.cors, { origin: true, credentials: true });
  assert.deepEqual(config.auth, { mode: 'none', tokens: [] });
  assert.equal(config.sync.tombstoneTTL, 30 * 24 * 60 * 60 * 1000);
  assert.equal(config.sync.batchSize, 1000);
  assert.deepEqual(config.hooks, {
    modules: [],
    timeoutMs: 5000,
    notifyCallsMax: 10_000,
    reauthorizeMs: 60_000,
    onReject: 'keep',
  });
  assert.equal(config.storage.url, `leveldb:${join(cwd, '.data')}`);
});

test('in the working directory a relative data directory stays as it was written', () => {
  const config = loadConfig({ env: {}, overrides: { dataDir: './here' } });
  assert.equal(config.dataDir, './here');
  assert.equal(config.storage.url, 'leveldb:./here');
});

test('overrides win over flags, flags over the environment, that over the file', (t) => {
  const cwd = createDir(t, {
    'sync-coordinator.json': JSON.stringify({ host: 'f', port: 1, basePath: '/f', dataDir: '/f' }),
  });
  const { config, sources, filePath } = resolveConfig({
    cwd,
    env: { SYNC_PORT: '2', SYNC_BASE_PATH: '/e', SYNC_DATA_DIR: '/e' },
    flags: { '--base-path': '/g', '--data-dir': '/g' },
    overrides: { dataDir: '/o' },
  });
  const { host, port, basePath, dataDir } = config;
  assert.deepEqual(
    { host, port, basePath, dataDir },
    {
      host: 'f',
      port: 2,
      basePath: '/g',
      dataDir: '/o',
    },
  );
  assert.equal(filePath, join(cwd, 'sync-coordinator.json'));
  assert.equal(sources.get('host'), `file ${filePath}`);
  assert.equal(sources.get('port'), 'env SYNC_PORT');
  assert.equal(sources.get('basePath'), 'flag --base-path');
  assert.equal(sources.get('dataDir'), 'override');
  assert.equal(sources.get('cors.origin'), 'default');
});

test('one option of a group leaves the others of the group alone', (t) => {
  const { limits, cors } = loadConfig({
    cwd: createDir(t),
    env: { SYNC_LIMITS_SESSIONS: '5' },
    overrides: { limits: { stalledMs: 7 }, cors: { origin: ['https://a.example'] } },
  });
  assert.equal(limits.sessions, 5);
  assert.equal(limits.stalledMs, 7);
  assert.equal(limits.shutdownMs, 10_000);
  assert.deepEqual(cors, { origin: ['https://a.example'], credentials: true });
});

test('the documented variables of the environment', (t) => {
  const cwd = createDir(t);
  const config = loadConfig({
    cwd,
    env: {
      SYNC_HOST: '127.0.0.1',
      SYNC_PORT: '8080',
      SYNC_DATA_DIR: '/data',
      SYNC_CORS_ORIGIN: 'http://localhost:5173, https://myapp.com',
      SYNC_AUTH_MODE: 'token-whitelist',
      SYNC_AUTH_TOKENS: 'token1, token2',
      SYNC_LIMITS_MESSAGE_BYTES: '1024',
      SYNC_STORAGE: 'memory:',
      SYNC_LOG_LEVEL: 'debug',
      SYNC_HOOKS: '@acme/audit,sync-coordinator/hooks/token-whitelist',
      SYNC_BATCH_SIZE: '10',
      SYNC_ALLOW_RESURRECTION: '0',
    },
  });
  assert.equal(config.host, '127.0.0.1');
  assert.equal(config.port, 8080);
  assert.equal(config.dataDir, '/data');
  assert.deepEqual(config.cors.origin, ['http://localhost:5173', 'https://myapp.com']);
  assert.deepEqual(config.auth, { mode: 'token-whitelist', tokens: ['token1', 'token2'] });
  assert.equal(config.limits.messageBytes, 1024);
  assert.equal(config.storage.url, 'memory:');
  assert.equal(config.logging.level, 'debug');
  assert.deepEqual(config.hooks.modules, [
    { module: '@acme/audit', from: cwd },
    'sync-coordinator/hooks/token-whitelist',
  ]);
  assert.equal(config.sync.batchSize, 10);
  assert.equal(config.sync.allowResurrection, false);
});

test('the documented flags', (t) => {
  const config = loadConfig({
    cwd: createDir(t),
    env: {},
    flags: {
      '--host': '::1',
      '--port': '0',
      '--data-dir': '/data',
      '--cors-origin': 'false',
      '--auth-mode': 'token-whitelist',
      '--auth-tokens': 'token1,token2',
      '--log-level': 'debug',
      '--storage': 'leveldb:/elsewhere',
      '--sync-batch-size': '7',
      '--limits-message-bytes': '9',
    },
  });
  assert.equal(config.host, '::1');
  assert.equal(config.port, 0);
  assert.equal(config.dataDir, '/data');
  assert.equal(config.cors.origin, false);
  assert.deepEqual(config.auth.tokens, ['token1', 'token2']);
  assert.equal(config.logging.level, 'debug');
  assert.equal(config.storage.url, 'leveldb:/elsewhere');
  assert.equal(config.sync.batchSize, 7);
  assert.equal(config.limits.messageBytes, 9);
});

test('one origin in a text is an origin, and true means all', (t) => {
  const cwd = createDir(t);
  const originOf = (SYNC_CORS_ORIGIN: string) =>
    loadConfig({ cwd, env: { SYNC_CORS_ORIGIN } }).cors.origin;
  assert.equal(originOf('https://a.example'), 'https://a.example');
  assert.equal(originOf('true'), true);
  assert.equal(originOf('false'), false);
});

test('a variable that is set to nothing is not set', (t) => {
  assert.equal(loadConfig({ cwd: createDir(t), env: { SYNC_PORT: '' } }).port, 3000);
});

test('the root can be written in two ways', (t) => {
  const cwd = createDir(t);
  for (const basePath of ['/', '']) {
    assert.equal(loadConfig({ cwd, env: {}, overrides: { basePath } }).basePath, '');
  }
});

test('the short forms mean the same as the long ones', (t) => {
  const cwd = createDir(t);
  const load = (overrides: Parameters<typeof loadConfig>[0] & object) =>
    loadConfig({ cwd, env: {}, ...overrides });
  assert.deepEqual(
    load({ overrides: { storage: 'memory:', hooks: ['a'] } }),
    load({ overrides: { storage: { url: 'memory:' }, hooks: { modules: ['a'] } } }),
  );
});

test('DEBUG decides what is logged, whatever anybody else says', (t) => {
  const { config, sources } = resolveConfig({
    cwd: createDir(t),
    env: { DEBUG: 'sync-coordinator:ws' },
    overrides: { logging: { namespaces: 'other' } },
  });
  assert.equal(config.logging.namespaces, 'sync-coordinator:ws');
  assert.equal(sources.get('logging.namespaces'), 'env DEBUG');
});

test('DEBUG of another program decides nothing', (t) => {
  const cwd = createDir(t);
  const overrides = { logging: { namespaces: 'other' } };
  for (const DEBUG of [
    'false',
    '0',
    'true',
    'app:*',
    'sync-coordinators:*',
    '-sync-coordinator:*',
  ]) {
    const { config } = resolveConfig({ cwd, env: { DEBUG }, overrides });
    assert.equal(config.logging.namespaces, 'other', DEBUG);
  }
  for (const DEBUG of ['*', 'app:*,sync-coordinator:ws', 'sync-*', '*:error', 'quereus:*']) {
    const { config } = resolveConfig({ cwd, env: { DEBUG }, overrides });
    assert.equal(config.logging.namespaces, DEBUG);
  }
  assert.equal(debugOf({ DEBUG: 'false' }), undefined);
});

test('files are found from where they are named', (t) => {
  const cwd = createDir(t, {
    'conf/sync.json': JSON.stringify({ hooks: ['./a.ts', ['../b.ts', { x: 1 }], 'package'] }),
  });
  const configPath = 'conf/sync.json';
  assert.deepEqual(loadConfig({ cwd, env: {}, configPath }).hooks.modules, [
    join(cwd, 'conf/a.ts'),
    [join(cwd, 'b.ts'), { x: 1 }],
    { module: 'package', from: join(cwd, 'conf') },
  ]);
  assert.deepEqual(loadConfig({ cwd, configPath, env: { SYNC_HOOKS: './a.ts' } }).hooks.modules, [
    join(cwd, 'a.ts'),
  ]);
});

test('one configuration is not changed through another', (t) => {
  const cwd = createDir(t);
  loadConfig({ cwd, env: {} }).auth.tokens.push('x');
  assert.deepEqual(loadConfig({ cwd, env: {} }).auth.tokens, []);
});
