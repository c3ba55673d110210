/** A rule that no two batches may break together, kept by several coordinators on one PostgreSQL. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, type TestContext, test } from 'node:test';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import { Device } from '../../../src/testing/device.ts';
import { TestClient } from '../../../src/testing/test-client.ts';
import { type ChildServer, startChildServer } from '../../support/child-server.ts';
import { startPostgres } from '../../support/postgres.ts';
import { temporaryDirectory } from '../../support/server.ts';

const postgres = await startPostgres(['-c', 'fsync=off']);
after(() => postgres.stop());

const DEVICES = 6;
/** Reached when each has written one row, and some of them another. */
const ROWS_MAX = DEVICES + 2;
const ROUNDS = 3;
/** The node that judges this one dies when it has approved it, before it can store it. */
const FATAL = 'fatal';

/** So many tasks, and no more; what is there already may be written to. */
const QUOTA = `
  import { defineHooks, judgeChanges } from 'sync-coordinator';
  export default defineHooks({
    name: 'quota',
    serial: true,
    hooks: {
      async onBeforeApplyChanges(_client, changeSets, { read }) {
        const verdict = await judgeChanges(
          changeSets,
          async (change) => {
            if (await read.row(change)) return true;
            let count = 0;
            for await (const _ of read.rows({ table: 'tasks' })) count++;
            return count < ${ROWS_MAX} ? true : { reason: 'full', code: 'QUOTA' };
          },
          { read },
        );
        const isFatal = ({ changes }) => changes.some(({ value }) => value === '${FATAL}');
        if (process.env.QUOTA_DIES && verdict.approved.some(isFatal)) {
          process.kill(process.pid, 'SIGKILL');
        }
        return verdict;
      },
    },
  });
`;

function startNode(t: TestContext, storage: string, env: NodeJS.ProcessEnv = {}) {
  const dataDir = temporaryDirectory();
  writeFileSync(path.join(dataDir, 'quota.mjs'), QUOTA);
  const config = path.join(dataDir, 'config.json');
  writeFileSync(config, JSON.stringify({ storage, hooks: { modules: ['./quota.mjs'] } }));
  return startChildServer(t, { dataDir, args: ['--config', config], env });
}

/** Sends it to one node, and on to the next when that is gone, until there is an answer. */
async function applySomewhere(
  t: TestContext,
  nodes: readonly ChildServer[],
  device: Device,
  set: WireChangeSet,
): Promise<boolean> {
  for (const { wsUrl } of nodes) {
    // Its socket may close at any moment.
    const client = await TestClient.join(wsUrl, device, t).catch(() => undefined);
    for (;;) {
      const answer = await client?.apply(set).catch(() => undefined);
      if (answer === undefined) break;
      if (answer.type === 'apply_result') return answer.rejected === undefined;
      // Others had come between each time.
      assert.equal(answer.code, 'OVERLOADED');
    }
  }
  throw new Error('no node is left');
}

async function rowsOf(t: TestContext, { wsUrl }: ChildServer): Promise<string[]> {
  const client = await TestClient.join(wsUrl, new Device(99), t);
  const sets = await client.changesSince();
  return [...new Set(sets.flatMap(({ changes }) => changes.map(({ pk }) => String(pk))))].sort();
}

test('a quota holds for devices that write through two nodes at once, and while one of them dies', {
  timeout: 300_000,
}, async (t) => {
  const url = postgres.url();
  const [one, two] = [await startNode(t, url, { QUOTA_DIES: 'yes' }), await startNode(t, url)];
  const devices = Array.from({ length: DEVICES }, (_, i) => new Device(i + 1));
  const accepted: string[] = [];
  async function writeRound(round: number, nodes: readonly ChildServer[]): Promise<void> {
    const writing = devices.map(async (device, i) => {
      const row = `${round}.${i}`;
      const title = round === 0 && i === 0 ? FATAL : 'x';
      const set = device.write({ table: 'tasks', pk: [row], set: { title } });
      const others = i % 2 === 0 ? nodes : nodes.toReversed();
      if (await applySomewhere(t, others, device, set)) accepted.push(row);
    });
    await Promise.all(writing);
  }
  await writeRound(0, [one, two]);
  assert.equal(one.process.signalCode, 'SIGKILL', 'it died between judging and storing');
  const three = await startNode(t, url);
  for (let round = 1; round < ROUNDS; round++) await writeRound(round, [three, two]);
  assert.deepEqual(await rowsOf(t, two), accepted.sort(), 'what was accepted, and nothing else');
  assert.equal(accepted.length, ROWS_MAX);
});
