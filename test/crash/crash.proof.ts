import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPostgres } from '../support/postgres.ts';
import { temporaryDirectory } from '../support/server.ts';
import { crashCluster } from './cluster.ts';
import { crashAgainAndAgain } from './crash.ts';

test('20 kills under load: what was acknowledged is there, and clients go on', async (t) => {
  const dataDir = temporaryDirectory();
  const report = await crashAgainAndAgain({ kills: 20, dataDir, owner: t });
  assert.ok(report.acknowledged > 100, `${report.acknowledged} were acknowledged`);
  assert.ok(report.fullDisks > 0);
});

test('5 kills of a coordinator on PostgreSQL: the same', async (t) => {
  const dataDir = temporaryDirectory();
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const storage = postgres.url();
  const report = await crashAgainAndAgain({ kills: 5, dataDir, storage, owner: t });
  assert.ok(report.acknowledged > 20, `${report.acknowledged} were acknowledged`);
});

test('5 kills among three nodes on one PostgreSQL: the others go on, and all get everything', async (t) => {
  const dataDir = temporaryDirectory();
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const storage = postgres.url();
  const report = await crashCluster({ nodes: 3, kills: 5, dataDir, storage, owner: t });
  assert.ok(report.acknowledged > 100, `${report.acknowledged} were acknowledged`);
});

test('PostgreSQL is stopped, and killed, under the load of two nodes: nothing is lost', async (t) => {
  const dataDir = temporaryDirectory();
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const report = await crashCluster({
    ...{ nodes: 2, kills: 4, dataDir, storage: postgres.url(), owner: t },
    async outage(kill) {
      if (kill % 2 === 0) return postgres.crash();
      await postgres.server.stop();
      await postgres.server.start();
    },
  });
  assert.ok(report.acknowledged > 100, `${report.acknowledged} were acknowledged`);
  assert.ok(report.refusals > 0);
});
