/** Tokens from a file, as hashes, and where they should not stand. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';
import { COMMAND, runProcess } from './run-process.ts';

const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');

async function statusOf(httpUrl: string, token: string): Promise<number> {
  const headers = { 'x-site-id': new Device(1).siteId, authorization: `Bearer ${token}` };
  return (await fetch(`${httpUrl}/changes`, { headers })).status;
}

test('tokens and hashes come from a file, which is read anew at a hang-up', async (t) => {
  const cwd = temporaryDirectory();
  mkdirSync(join(cwd, 'conf'));
  const file = join(cwd, 'conf', 'tokens');
  const lines = ['\uFEFF# the robots', 'robot\r', '', `  sha256:${hashOf('hidden').toUpperCase()}`];
  writeFileSync(file, lines.join('\n'), { mode: 0o644 });
  const config = { auth: { mode: 'token-whitelist', tokensFile: './tokens', tokens: ['inline'] } };
  writeFileSync(join(cwd, 'conf', 'config.json'), JSON.stringify(config));
  const args = ['--config', './conf/config.json'];
  const server = await startChildServer(t, { dataDir: cwd, args });
  for (const token of ['robot', 'hidden', 'inline']) {
    assert.equal(await statusOf(server.httpUrl, token), 200, token);
  }
  // Who has read the list can't come in with what stands there.
  for (const token of ['# the robots', `sha256:${hashOf('hidden')}`, hashOf('hidden'), '']) {
    assert.equal(await statusOf(server.httpUrl, token), 401, token);
  }
  if (process.platform !== 'win32') {
    assert.match(
      server.output(),
      /warn every user of this machine may read the tokens in .*tokens/,
    );
  }
  writeFileSync(file, 'other\n');
  server.process.kill('SIGHUP');
  while (!server.output().includes('loaded anew')) await new Promise(setImmediate);
  assert.equal(await statusOf(server.httpUrl, 'robot'), 401);
  assert.equal(await statusOf(server.httpUrl, 'other'), 200);
  writeFileSync(file, 'sha256:beef\n');
  server.process.kill('SIGHUP');
  while (!server.output().includes('nothing was loaded')) await new Promise(setImmediate);
  assert.match(server.output(), /line 1 of .*tokens begins with sha256:, and is not followed by/);
  assert.equal(await statusOf(server.httpUrl, 'other'), 200);
  const { siteId } = new Device(1);
  const session = await TestClient.join(server.wsUrl, { siteId, token: 'other' }, t);
  // To be open for everybody is for a start to say.
  const configFile = join(cwd, 'conf', 'config.json');
  writeFileSync(configFile, '{"auth":{"tokensFile":"./tokens"}}');
  server.process.kill('SIGHUP');
  while (!server.output().includes('auth.mode would be "none"')) await new Promise(setImmediate);
  assert.equal(await statusOf(server.httpUrl, 'unknown'), 401);
  const { mode, tokensFile } = config.auth;
  writeFileSync(configFile, JSON.stringify({ auth: { mode, tokensFile, tokens: [] } }));
  writeFileSync(file, '# nobody\n');
  server.process.kill('SIGHUP');
  assert.equal((await session.closed).code, 4001, 'the last one, too');
  assert.equal(await statusOf(server.httpUrl, 'other'), 401);
  assert.match(server.output(), /warn .*there is no token in .*tokens: nobody is let in/);
  await server.kill('SIGTERM');
  assert.doesNotMatch(server.output(), /robot\b|inline|beef/);
});

test('a file that is not there keeps the server from starting; one without a token lets nobody in', async (t) => {
  const cwd = temporaryDirectory();
  writeFileSync(join(cwd, 'empty'), '# none yet\n');
  const from = (file: string) => [
    'check',
    '--auth-mode',
    'token-whitelist',
    '--auth-tokens-file',
    file,
  ];
  const missing = await runProcess(t, from('./missing'), { cwd });
  assert.match(missing.stderr, /the file of tokens .*missing cannot be read: ENOENT/);
  const empty = await runProcess(t, from('./empty'), { cwd });
  assert.deepEqual([missing.code, empty.code], [1, 0]);
});

test('secrets on the command line are warned of, and what would be better is named', async (t) => {
  const cwd = temporaryDirectory();
  const tokens = ['--auth-mode', 'token-whitelist', '--auth-tokens', 'zebra'];
  const url = 'postgres://me:zebra@127.0.0.1/db';
  const flags = await runProcess(t, ['check', ...tokens, '--storage', url], { cwd });
  assert.match(flags.stderr, /warning: auth\.tokens stand on the command line.*auth\.tokensFile/);
  assert.match(flags.stderr, /warning: the password of storage\.url stands on the command line/);
  const env = {
    SYNC_AUTH_MODE: 'token-whitelist',
    SYNC_AUTH_TOKENS: 'zebra',
    SYNC_STORAGE: url,
  };
  const quiet = await runProcess(t, ['check'], { cwd, env });
  assert.equal(quiet.stderr, '');
  for (const { stdout, stderr } of [flags, quiet]) assert.doesNotMatch(stdout + stderr, /zebra/);
});

test('hash-token prints what may stand in the list', () => {
  const hash = (input: string) =>
    spawnSync(process.execPath, [...COMMAND, 'hash-token'], { input, encoding: 'utf8' });
  assert.equal(hash('a long secret\n').stdout, `sha256:${hashOf('a long secret')}\n`);
  for (const input of ['', '\n', 'one\ntwo\n']) {
    const { status, stdout } = hash(input);
    assert.deepEqual([status, stdout], [1, '']);
  }
});
