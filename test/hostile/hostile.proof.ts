import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/server.ts';
import { CONSTANT_BYTES, measure } from './measure.ts';
import { SCENARIOS } from './scenarios.ts';

const MIB = 1024 * 1024;
/** Other tests run beside these: how long things take is for `npm run test:hostile` to say. */
const SCALE = 0.1;

for (const scenario of SCENARIOS) {
  test(`${scenario.name}: it is bounded, and ends as it should`, async (t) => {
    const dataDir = temporaryDirectory();
    const { grownBytes, outcome } = await measure(scenario, { owner: t, dataDir, scale: SCALE });
    const grown = `grew by ${(grownBytes / MIB).toFixed(1)} MiB`;
    assert.ok(grownBytes <= scenario.capBytes + CONSTANT_BYTES, grown);
    t.diagnostic(`${outcome}; ${grown}`);
  });
}
