/**
 * Uses the build as its first users would: in the checkout, and packed and installed into
 * an empty project, from the registry as configured. `npm run build && npm run smoke`.
 */

import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Device } from '../src/testing/device.ts';
import { TestClient } from '../src/testing/test-client.ts';
import { plainEnvironment, runCommand, startCommand } from '../test/package/command.ts';
import { ROOT } from '../test/package/packed-package.ts';

const CONFIG = `
import { defineConfig } from 'sync-coordinator';

const port: number = 0;
export default defineConfig({ host: '127.0.0.1', port, hooks: ['./hooks/greet.ts'] });
`;

const HOOKS = `
import { type CoordinatorHooks, SyncError } from 'sync-coordinator';

export default {
  onAuthenticate({ token, siteId }) {
    if (token !== 'hello' || siteId === undefined) throw new SyncError('AUTH_FAILED', 'say hello');
    return { siteId, userId: 'ann' satisfies string };
  },
} satisfies CoordinatorHooks;
`;

const directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-'));
const ends: (() => void)[] = [];
const owner = { after: (end: () => void) => ends.push(end) };

/** Starts the server, visits it by HTTP and WebSocket, and has it stop. */
async function visit(line: string, cwd: string, token?: string): Promise<void> {
  const server = await startCommand(owner, line, { cwd });
  const response = await fetch(`http://127.0.0.1:${server.port}/sync/status`);
  assert.equal(response.status, 200);
  const url = `ws://127.0.0.1:${server.port}/sync/ws`;
  const { siteId } = new Device(1);
  if (token !== undefined) {
    await assert.rejects(TestClient.join(url, { siteId, token: `not ${token}` }, owner));
  }
  const client = await TestClient.join(url, { siteId, token }, owner);
  await client.close();
  assert.equal(await server.stop('SIGTERM'), 0, server.output.stderr);
}

async function visitCheckout(): Promise<void> {
  const flags = `--port 0 --data-dir "${join(directory, 'data')}"`;
  for (const line of ['npm start --', 'npx sync-coordinator']) {
    await visit(`${line} ${flags}`, ROOT);
    say(`${line} … in the checkout`);
  }
}

async function createProject(): Promise<string> {
  const project = join(directory, 'project');
  mkdirSync(join(project, 'hooks'), { recursive: true });
  writeFileSync(join(project, 'package.json'), '{}');
  const packing = `npm pack --ignore-scripts --json --pack-destination "${directory}"`;
  const [{ filename }]: [{ filename: string }] = JSON.parse(await runCommand(packing, ROOT));
  const online = { ...plainEnvironment(), npm_config_offline: 'false' };
  await runCommand(`npm install "${join(directory, filename)}"`, project, online);
  assert(!existsSync(join(project, 'node_modules/typescript')), 'typescript is installed');
  return project;
}

async function visitProject(project: string): Promise<void> {
  await visit('npx sync-coordinator --host 127.0.0.1 --port 0', project);
  say('the packed package, nothing configured');
  await runCommand('npx sync-coordinator init app --yes', project);
  const chain = await runCommand('npx sync-coordinator check', join(project, 'app'));
  assert.match(chain, /1\. log-changes: /);
  rmSync(join(project, 'app'), { recursive: true });
  say('what init writes, checked');
  writeFileSync(join(project, 'sync-coordinator.config.ts'), CONFIG);
  writeFileSync(join(project, 'hooks/greet.ts'), HOOKS);
  for (const manifest of ['{ "type": "module" }', '{}']) {
    writeFileSync(join(project, 'package.json'), manifest);
    // Root may write there all the same: so look whether anything was.
    chmodAll(project, 0o555);
    const before = readdirSync(project);
    await visit('npx sync-coordinator --data-dir ../data', project, 'hello');
    assert.deepEqual(readdirSync(project), before);
    chmodAll(project, 0o755);
    say(`configuration and hooks in TypeScript, read-only, package.json ${manifest}`);
  }
}

function chmodAll(project: string, mode: number): void {
  for (const path of ['hooks', '.']) chmodSync(join(project, path), mode);
}

function say(what: string): void {
  process.stdout.write(`smoke: ${what}: ok\n`);
}

try {
  await visitCheckout();
  await visitProject(await createProject());
} finally {
  for (const end of ends.reverse()) end();
  rmSync(directory, { recursive: true, force: true });
}
