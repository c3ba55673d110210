import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/server.ts';
import { crashAgainAndAgain } from './crash.ts';

test('20 kills under load: what was acknowledged is there, and clients go on', async (t) => {
  const dataDir = temporaryDirectory(t);
  const report = await crashAgainAndAgain({ kills: 20, dataDir, owner: t });
  assert.ok(report.acknowledged > 100, `${report.acknowledged} were acknowledged`);
  assert.ok(report.fullDisks > 0);
});
