/** What the README says to type is typed here, against the real command; only the port is another. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { runProcess } from '../cli/run-process.ts';
import { type ChildServer, startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';
import {
  type CodeBlock,
  codeBlocks,
  commandsOf,
  fileBlock,
  PAGES,
  ROOT,
  readPage,
} from './pages.ts';

const README = readPage('README.md');
const TSX = import.meta.resolve('tsx');
const RUN_TIMEOUT_MS = 300_000;

/** Runs a program to its end; it must succeed. */
async function run(command: string, args: string[], input = ''): Promise<string> {
  const child = spawn(command, args, { cwd: ROOT, timeout: RUN_TIMEOUT_MS });
  let output = '';
  let errors = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data;
  });
  child.stderr.on('data', (data: Buffer) => {
    errors += data;
  });
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  assert.equal(code, 0, `${command} ${args.join(' ')}\n${output}${errors}`);
  return output;
}

/** As a module in the checkout, which is where the README says to save it. */
function runModule(text: string): Promise<string> {
  return run(process.execPath, ['--import', TSX, '--input-type=module'], text);
}

function atPort(text: string, { port }: ChildServer): string {
  const replaced = text.replaceAll('localhost:3000', `127.0.0.1:${port}`);
  assert.notEqual(replaced, text, 'it names the default port');
  return replaced;
}

function curlsOf(server: ChildServer): string[] {
  const curls = commandsOf(README).filter((command) => command.startsWith('curl '));
  return curls.map((command) => atPort(command, server));
}

function writeFiles(directory: string, blocks: readonly CodeBlock[]): void {
  for (const { file, text } of blocks) {
    const path = join(directory, file ?? '');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

test('the first minute: a status, an edit from one device to another, and a restart', async (t) => {
  const dataDir = temporaryDirectory();
  const first = await startChildServer(t, { dataDir });
  const [statusCommand = ''] = curlsOf(first);
  const status = JSON.parse(await run('sh', ['-c', statusCommand]));
  const documented = JSON.parse(codeBlocks(README, 'json')[0]?.text ?? '');
  assert.deepEqual(Object.keys(status.data), Object.keys(documented.data));
  assert.deepEqual([status.ok, status.data.version], [true, documented.data.version]);

  const output = await runModule(atPort(fileBlock(README, 'try.mjs'), first));
  assert.equal(output, codeBlocks(README, 'text')[0]?.text);

  await first.kill('SIGINT');
  const second = await startChildServer(t, { dataDir });
  const [, changesCommand = ''] = curlsOf(second);
  const { data } = JSON.parse(await run('sh', ['-c', changesCommand]));
  assert.deepEqual(
    data.changes[0].changes.map(({ value }: { value: unknown }) => value),
    ['Buy milk'],
  );
});

test('the hook refuses a task without a title, and lets the others pass', async (t) => {
  const dataDir = temporaryDirectory();
  const files = ['hooks/titles.ts', 'sync-coordinator.config.ts'];
  writeFiles(
    dataDir,
    codeBlocks(README, 'ts').filter(({ file }) => files.includes(file ?? '')),
  );
  const server = await startChildServer(t, { dataDir });
  const device = new Device(1);
  const batch = ['Buy milk', ''].map((title, id) =>
    device.write({ table: 'tasks', pk: [id], set: { title } }),
  );
  const response = await fetch(`${server.httpUrl}/changes`, {
    method: 'POST',
    headers: { 'x-site-id': device.siteId },
    body: JSON.stringify(batch),
  });
  const { data } = (await response.json()) as { data: unknown };
  assert.deepEqual(data, {
    applied: 1,
    skipped: 0,
    conflicts: 0,
    transactions: 2,
    rejected: [
      {
        schema: 'main',
        transactionId: batch[1]?.transactionId,
        reason: 'a task needs a title',
        code: 'UNTITLED',
        table: 'tasks',
        column: 'title',
        pk: [1],
      },
    ],
  });
});

/** Starts a program that embeds the coordinator, and gives what it says that it listens on. */
async function startEmbedding(t: TestContext, text: string): Promise<string> {
  const child = spawn(process.execPath, ['--import', TSX, '--input-type=module'], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, SYNC_DATA_DIR: temporaryDirectory(), SYNC_HOST: '127.0.0.1' },
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: RUN_TIMEOUT_MS,
  });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGTERM');
    await closed;
  });
  child.stdin.end(text.replace('port: 8080', 'port: 0'));
  let output = '';
  for await (const data of child.stdout) {
    output += data;
    const [, url] = /listening on (http:\/\/[^\s,]+)/.exec(output) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`it ended without listening: ${output}`);
}

const embedding = ['README.md', 'docs/embedding.md'].flatMap((name) =>
  codeBlocks(readPage(name), 'ts').filter(({ text }) => text.includes('listening on')),
);
assert.equal(embedding.length, 4);
for (const [number, { text }] of embedding.entries()) {
  test(`a program that embeds the coordinator serves it (${number + 1})`, async (t) => {
    const url = await startEmbedding(t, text);
    const response = await fetch(`${url}/sync/status`);
    assert.equal(response.status, 200);
  });
}

test('every npm command of the pages exists', () => {
  const { scripts } = JSON.parse(readPage('package.json').text) as { scripts: object };
  const builtIn = new Set(['ci', 'prune', 'install', 'audit']);
  const commands = PAGES.flatMap(({ text }) => [
    ...text.matchAll(/\bnpm (run )?([a-z][a-z:-]*)/g),
  ]).map(([, , name = '']) => name);
  assert.ok(commands.includes('test') && commands.includes('start'));
  for (const name of new Set(commands)) {
    assert.ok(builtIn.has(name) || Object.hasOwn(scripts, name), `npm run ${name}`);
  }
});

test('every command line of the pages is one that the command takes', async (t) => {
  const lines = PAGES.flatMap(commandsOf).filter((line) => line.includes('npx sync-coordinator'));
  assert.ok(lines.length >= 3);
  for (const line of lines) {
    const [variables = '', flags = ''] = line.split('npx sync-coordinator');
    const env = Object.fromEntries(
      variables
        .trim()
        .split(/\s+/)
        .filter((pair) => pair !== '')
        .map((pair) => pair.split('=')),
    );
    const words = flags.trim().split(/\s+/);
    // Flags are those of a start; a command of its own is only asked whether it exists.
    const args = words[0]?.startsWith('-') ? ['check', ...words] : [...words, '--help'];
    const { code, stderr } = await runProcess(t, args, { cwd: temporaryDirectory(), env });
    assert.equal(code, 0, `${line}\n${stderr}`);
  }
});

/** Pages whose blocks go on from those before them. */
const CONTINUED = new Set(['docs/client.md']);

function inOne(blocks: readonly CodeBlock[]): CodeBlock {
  const [first] = blocks;
  if (first === undefined) throw new Error('the page has no block');
  return { ...first, text: blocks.map(({ text }) => text).join('\n') };
}

/** The sources of the client's subpaths. */
function clientPaths(): Record<string, string[]> {
  const root = join(ROOT, 'packages/client');
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return Object.fromEntries(
    Object.entries<{ types?: string }>(exports).flatMap(([subpath, { types }]) => {
      if (types === undefined) return [];
      const source = types.replace('./dist/packages/client/', '').replace(/\.d\.ts$/, '.ts');
      return [[subpath.replace('.', '@sync-coordinator/client'), [join(root, source)]]];
    }),
  );
}

test('the TypeScript of the pages compiles', async () => {
  const directory = temporaryDirectory();
  for (const page of PAGES) {
    const blocks = codeBlocks(page, 'ts').map((block, i) => ({
      ...block,
      file: `${page.name}/${block.file ?? `block-${i}.ts`}`,
    }));
    writeFiles(directory, CONTINUED.has(page.name) ? [inOne(blocks)] : blocks);
  }
  const compilerOptions = {
    noEmit: true,
    rootDir: '/',
    paths: {
      'sync-coordinator': [join(ROOT, 'src/index.ts')],
      'sync-coordinator/current-call': [join(ROOT, 'src/hooks/current-call.ts')],
      'sync-coordinator/testing': [join(ROOT, 'src/testing/index.ts')],
      ...clientPaths(),
    },
    // The client's page is for browsers.
    lib: ['es2023', 'dom', 'dom.iterable'],
  };
  const config = { extends: join(ROOT, 'tsconfig.json'), compilerOptions, include: ['**/*.ts'] };
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  const compiler = join(ROOT, 'node_modules/tsc/bin/tsc');
  await run(process.execPath, [compiler, '-p', directory]);
});
