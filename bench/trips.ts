/**
 * How far a message goes: the files and functions of ours that run for one, once everything is warm.
 * `tsx bench/trips.ts`, and with the name of a trip its files.
 *
 * By V8's own counts of calls, so what runs at the same moment for another reason (a timer) counts as well.
 */

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type * as Coordinator from '../src/index.ts';
import type * as Devices from '../src/testing/device.ts';
import type * as Clients from '../src/testing/test-client.ts';

const WARM_UPS = 300;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** A package of its own, where what it depends on is found. */
const PACKAGE = join(ROOT, 'node_modules/.cache/sync-coordinator/trips');
const DIST = `${pathToFileURL(PACKAGE).href}/dist/`;

// Built, but not into few files: coverage counts what runs, and translated sources would be other files.
mkdirSync(PACKAGE, { recursive: true });
copyFileSync(join(ROOT, 'package.json'), join(PACKAGE, 'package.json'));
execFileSync(process.execPath, ['scripts/build.mjs', join(PACKAGE, 'dist'), '--files'], {
  cwd: ROOT,
});
const { createCoordinatorServer, loadConfig }: typeof Coordinator = await import(
  `${DIST}src/index.js`
);
const { Device }: typeof Devices = await import(`${DIST}src/testing/device.js`);
const { TestClient }: typeof Clients = await import(`${DIST}src/testing/test-client.js`);

const dataDir = mkdtempSync(join(tmpdir(), 'sync-trips-'));
const config = loadConfig({ env: {}, cwd: dataDir, overrides: { port: 0, dataDir } });
const server = await createCoordinatorServer({ config });
const { port } = await server.start();
const url = `ws://localhost:${port}/sync/ws`;
const [writer, reader, poster] = [new Device(1), new Device(2), new Device(3)];
const writing = await TestClient.join(url, { siteId: writer.siteId });
const reading = await TestClient.join(url, { siteId: reader.siteId });
await writing.changesSince();
await reading.changesSince();

/** Written before it is counted what the server does with them, each device in rows of its own: all of it is new. */
function writesOf(device: InstanceType<typeof Device>, table: string) {
  return Array.from({ length: WARM_UPS + 1 }, () =>
    device.write({ table, pk: [Math.floor(Math.random() * 1000)], set: { x: 1 } }),
  );
}
const writes = writesOf(writer, 't');
const bodies = writesOf(poster, 'u').map((changes) => JSON.stringify({ changes: [changes] }));

async function exchange(path: string, { siteId }: { siteId: string }, body?: string) {
  const init = body === undefined ? {} : { method: 'POST', body };
  const headers = { 'x-site-id': siteId, 'content-type': 'application/json' };
  const response = await fetch(`http://localhost:${port}/sync/${path}`, { ...init, headers });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
}

const TRIPS: Readonly<Record<string, () => Promise<unknown>>> = {
  'a change, to another socket': async () => {
    const pushed = reading.nextPush();
    const [next = writer.write()] = writes.splice(0, 1);
    await writing.apply(next);
    await pushed;
  },
  'POST /apply, to two sockets': async () => {
    const pushed = Promise.all([reading.nextPush(), writing.nextPush()]);
    await exchange('apply', poster, bodies.shift());
    await pushed;
  },
  'GET /changes': () => exchange('changes', reader),
  get_changes: () => reading.changesSince(),
  snapshot: () => reading.snapshot(),
  ping: () => reading.settled(),
};

const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });

/** Of the server alone: the client of the test runs in the same process. */
function isOurs(file: string): boolean {
  return file.startsWith(DIST) && !file.includes('/testing/');
}

async function countCalls(trip: () => Promise<unknown>): Promise<Map<string, number>> {
  for (let i = 0; i < WARM_UPS; i++) await trip();
  await session.post('Profiler.takePreciseCoverage');
  await trip();
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const counts = new Map<string, number>();
  for (const { url: file, functions } of result) {
    if (!isOurs(file)) continue;
    const called = functions.filter(({ ranges: [range] }) => (range?.count ?? 0) > 0).length;
    if (called > 0) counts.set(file.slice(DIST.length), called);
  }
  return counts;
}

const wanted = process.argv[2];
for (const [name, trip] of Object.entries(TRIPS)) {
  const counts = await countCalls(trip);
  const functions = [...counts.values()].reduce((sum, count) => sum + count, 0);
  process.stdout.write(`${name}: ${counts.size} files, ${functions} functions\n`);
  if (wanted === undefined || !name.includes(wanted)) continue;
  for (const [file, count] of counts) process.stdout.write(`  ${count}  ${file}\n`);
}
await Promise.all([writing.close(), reading.close()]);
await server.stop();
rmSync(dataDir, { recursive: true, force: true });
process.exit();
