/** What the design shows people to write and to type, against the package that they get. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { type Command, runCommand, startCommand } from './command.ts';
import { COMMANDS, DEBUG_SETTINGS, NAMESPACES, SNIPPET } from './design-excerpts.ts';
import { installPackage, type PackedPackage, packPackage, ROOT } from './packed-package.ts';

let directory = '';
let project = '';
let packed: PackedPackage;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-'));
  project = join(directory, 'project');
  packed = await packPackage(directory);
  await installPackage(packed.tarball, project);
});
after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));

/** An empty directory of the project, for one run. */
function createPlace(files: Readonly<Record<string, string>> = {}): string {
  const place = mkdtempSync(join(project, 'place-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(place, name), text);
  return place;
}

async function statusOf(
  { port }: Command,
  path: string,
  headers: Record<string, string> = {},
): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
  await response.arrayBuffer();
  return response.status;
}

/** Shakes hands with a token or without. */
function enter(
  t: TestContext,
  { port }: Command,
  { siteId }: Device,
  token?: string,
): Promise<TestClient> {
  return TestClient.join(`ws://127.0.0.1:${port}/sync/ws`, { siteId, token }, t);
}

it('what is published is the build, the documentation and the examples', () => {
  const others = packed.files.filter(
    (path) => !/^(dist\/(src|plugins|typebox|packages\/client\/src)|docs|examples)\//.test(path),
  );
  const expected = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'];
  assert.deepEqual(
    others.sort(),
    expected.filter((name) => existsSync(join(ROOT, name))),
  );
  assert.deepEqual(
    packed.files.filter((path) => /^(?!examples).*\.test\.|\.map$|^dist.*(?<!\.d)\.ts$/.test(path)),
    [],
  );
  assert(!existsSync(join(project, 'node_modules/typescript')));
});

describe('every command line of the design', () => {
  const [defaults = '', withConfig = '', withOverrides = '', full = '', ...more] = COMMANDS;
  const siteHeader = { 'X-Site-Id': new Device(1).siteId };

  it('there are four', () => {
    assert.notEqual(full, '');
    assert.deepEqual(more, []);
  });

  it(defaults, async (t) => {
    const cwd = createPlace();
    const command = await startCommand(t, defaults, { cwd, port: 3000 });
    assert.equal(command.asked, 3000);
    assert.equal(await statusOf(command, '/sync/status'), 200);
    assert.equal(await statusOf(command, '/sync/changes', siteHeader), 200);
    assert(existsSync(join(cwd, '.data')));
    assert.equal(await command.stop('SIGINT'), 0);
  });

  it(withConfig, async (t) => {
    const auth = { mode: 'token-whitelist', tokens: ['let-me-in'] };
    const config = JSON.stringify({ port: 0, basePath: '/api', auth });
    const cwd = createPlace({ 'my-config.json': config });
    const command = await startCommand(t, withConfig, { cwd });
    assert.equal(await statusOf(command, '/api/changes', siteHeader), 401);
    const withToken = { ...siteHeader, Authorization: 'Bearer let-me-in' };
    assert.equal(await statusOf(command, '/api/changes', withToken), 200);
    assert.equal(await command.stop(), 0);
  });

  it(withOverrides, async (t) => {
    const cwd = createPlace();
    const command = await startCommand(t, withOverrides, { cwd, port: 8080 });
    assert.equal(command.asked, 8080);
    assert.equal(await statusOf(command, '/sync/changes', siteHeader), 200);
    assert(existsSync(join(cwd, 'data')));
    assert.equal(await command.stop(), 0);
  });

  it(full, async (t) => {
    const cwd = createPlace();
    const command = await startCommand(t, full, { cwd, port: 3000 });
    assert.equal(command.asked, 3000);
    for (const token of ['token1', 'token2']) {
      const client = await enter(t, command, new Device(1), token);
      await client.close();
    }
    await assert.rejects(enter(t, command, new Device(1), 'token3'));
    const allowed = await Promise.all(
      ['https://myapp.com', 'http://localhost:5173', 'https://elsewhere.com'].map(
        async (origin) => {
          const url = `http://127.0.0.1:${command.port}/sync/status`;
          const { headers } = await fetch(url, { headers: { origin } });
          return headers.get('access-control-allow-origin');
        },
      ),
    );
    assert.deepEqual(allowed, ['https://myapp.com', 'http://localhost:5173', null]);
    assert.equal(await command.stop(), 0);
    assert(existsSync(join(cwd, 'data')));
    assert.match(command.output.stderr, /sync-coordinator:http GET \/sync\/status 200/);
    assert.doesNotMatch(command.output.stderr + command.output.stdout, /token[123]/);
  });
});

describe('DEBUG switches on what it names and nothing else', { concurrency: 2 }, () => {
  const all = [...NAMESPACES, 'sync-coordinator:auth:warn', 'sync-coordinator:hooks:error'];
  const bin = 'node ../node_modules/sync-coordinator/dist/src/bin/sync-coordinator.js';
  const auth = '--auth-mode token-whitelist --auth-tokens let-me-in';
  const line = `${bin} --host 127.0.0.1 --port 0 --storage memory: --hooks ./failing.mjs ${auth}`;
  const failing = 'export default { onAfterApplyChanges() { throw new Error("failing"); } };';
  const [everything = '', socketsAndErrors = '', andTheEngine = '', ...more] = DEBUG_SETTINGS;
  const cases: Record<string, string[]> = {
    [everything]: all,
    [socketsAndErrors]: ['sync-coordinator:ws', 'sync-coordinator:hooks:error'],
    [andTheEngine]: [...all, 'quereus:sync:manager'],
    ...Object.fromEntries(NAMESPACES.map((name) => [`DEBUG=${name}`, [name]])),
  };

  it('the design has three settings and five namespaces', () => {
    assert.notEqual(andTheEngine, '');
    assert.deepEqual(more, []);
    assert.equal(NAMESPACES.length, 5);
  });

  for (const [setting, expected] of Object.entries(cases)) {
    it(setting, async (t) => {
      const cwd = createPlace({ 'failing.mjs': failing });
      const env = { DEBUG: setting.slice('DEBUG='.length) };
      const command = await startCommand(t, line, { cwd, env });
      await statusOf(command, '/sync/status');
      const device = new Device(1);
      await assert.rejects(enter(t, command, device, 'not-this'));
      const client = await enter(t, command, device, 'let-me-in');
      const result = await client.apply(device.write({ pk: [1], set: { note: 'hello' } }));
      assert.equal(result.applied, 1);
      await client.close();
      assert.equal(await command.stop(), 0);
      const { stderr } = command.output;
      const logged = [...stderr.matchAll(/^\d{4}-\S+Z (\S+) /gm)].map(([, name]) => name);
      assert.deepEqual([...new Set(logged)].sort(), expected.toSorted(), stderr);
      assert.doesNotMatch(stderr, /let-me-in|not-this/);
    });
  }
});

describe('the snippet of "Extending the Coordinator"', () => {
  const prelude = `
import type { ChangeSet, SyncOperation, ValidationResult } from 'sync-coordinator';

async function verifyToken(token: string | undefined): Promise<{ id: string }> {
  if (token !== 'open-sesame') throw new Error('not a token');
  return { id: 'ann' };
}

function hasPermission(userId: string | undefined, operation: SyncOperation): boolean {
  return userId === 'ann' && operation.type !== 'get_snapshot';
}

function validateChanges(changes: ChangeSet[]): ValidationResult {
  const approved = changes.filter(({ changes }) => changes.length === 1);
  return { approved, rejected: approved.length < changes.length ? [{ reason: 'too many' }] : [] };
}
`;
  // The design's program ends when it is killed; this is how a real one would.
  const epilogue = `
process.once('SIGTERM', () => server.stop());
`;
  const text = prelude + SNIPPET + epilogue;

  it('has the types that it needs, in the strictest of projects', async () => {
    const compilerOptions = {
      target: 'es2022',
      module: 'nodenext',
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      types: ['node'],
      noEmit: true,
    };
    const tsconfig = JSON.stringify({ compilerOptions, files: ['main.ts'] });
    const cwd = createPlace({ 'main.ts': text, 'tsconfig.json': tsconfig });
    await runCommand(`node "${join(ROOT, 'node_modules/tsc/bin/tsc')}" -p .`, cwd);
  });

  it('serves, asks its hooks, and stops', async (t) => {
    const cwd = createPlace({ 'main.ts': text });
    const command = await startCommand(t, 'node --import tsx main.ts', { cwd, port: 3000 });
    assert.equal(command.asked, 3000);
    const device = new Device(1);
    await assert.rejects(enter(t, command, device, 'another'), /AUTH_FAILED/);
    const client = await enter(t, command, device, 'open-sesame');
    const one = device.write({ pk: [1], set: { note: 'a' } });
    const two = device.write({ pk: [2], set: { note: 'b', more: 'c' } });
    const result = await client.apply(one, two);
    assert.equal(result.applied, 1);
    const place = { schema: 'main', table: 't', pk: [2], transactionId: two.transactionId };
    const rejection = { reason: 'too many', code: 'REJECTED', ...place };
    assert.deepEqual(result.rejected, [
      { ...rejection, column: 'note' },
      { ...rejection, column: 'more' },
    ]);
    await assert.rejects(client.snapshot(), /NOT_AUTHORIZED/);
    await client.close();
    assert(existsSync(join(cwd, 'data')));
    assert.equal(await command.stop(), 0);
  });
});
