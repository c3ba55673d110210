import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPostgres } from '../support/postgres.ts';
import { temporaryDirectory } from '../support/server.ts';
import { crashAgainAndAgain } from './crash.ts';

test('20 kills under load: what was acknowledged is there, and clients go on', async (t) => {
  const dataDir = temporaryDirectory(t);
  const report = await crashAgainAndAgain({ kills: 20, dataDir, owner: t });
  assert.ok(report.acknowledged > 100, `${report.acknowledged} were acknowledged`);
  assert.ok(report.fullDisks > 0);
});

test('5 kills of a coordinator on PostgreSQL: the same', async (t) => {
  const dataDir = temporaryDirectory(t);
  const postgres = await startPostgres();
  t.after(() => postgres.stop());
  const storage = postgres.url();
  const report = await crashAgainAndAgain({ kills: 5, dataDir, storage, owner: t });
  assert.ok(report.acknowledged > 20, `${report.acknowledged} were acknowledged`);
});
