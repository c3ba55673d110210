/** The server's clock is set back, and forward: positions rise, and everybody goes on. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc } from '../../src/clock/hlc.ts';
import { assertConverged } from '../../src/testing/assertions.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { plainDevice } from '../support/plain-device.ts';

const HOUR_MS = 3_600_000;

test('an hour back and two forward: changes flow, and the state is to be seen', async (t) => {
  const coordinator = await startCoordinator(t);
  const [ann, ben] = [await plainDevice(t, coordinator), await plainDevice(t, coordinator)];
  const aheadMs = () => coordinator.service.status().positionAheadMs;
  const positions: string[] = [];
  let count = 0;
  for (const jumpMs of [0, -HOUR_MS, 0, 2 * HOUR_MS, -2 * HOUR_MS]) {
    coordinator.clock.advance(jumpMs);
    assert.equal((await ann.write('t', [++count], { n: count })).applied, 1);
    assert.equal((await ben.write('t', [++count], { n: count })).applied, 1);
    const response = await fetch(`${coordinator.httpUrl}/changes`, {
      headers: { 'x-site-id': new Device(9).siteId },
    });
    const { data } = (await response.json()) as { data: { watermark: string } };
    positions.push(data.watermark);
    if (jumpMs < 0) assert.ok(Math.abs(aheadMs() + jumpMs) < 60_000, `${aheadMs()} ms ahead`);
    if (jumpMs > 0) assert.equal(aheadMs(), 0);
  }
  for (const [i, position] of positions.entries()) {
    const before = positions[i - 1];
    if (before !== undefined) assert.ok(compareHlc(before, position) < 0);
  }
  const text = await (await fetch(`${coordinator.httpUrl}/metrics`)).text();
  const [, seconds] = /^sync_position_ahead_seconds (\d+)/m.exec(text) ?? [];
  assert.ok(Math.abs(Number(seconds) - 7200) < 60, `${seconds}`);
  await assertConverged(coordinator, [ann, ben]);
});

test('a device whose clock is ahead is told by how much, and others in its batch’s session go on', async (t) => {
  const coordinator = await startCoordinator(t);
  const ahead = await plainDevice(t, coordinator, { skewMs: HOUR_MS });
  const other = await plainDevice(t, coordinator);
  await assert.rejects(ahead.write('t', [1], { n: 1 }), /CLOCK_DRIFT: .* 3\d{6} ms ahead/);
  assert.equal((await other.write('t', [2], { n: 2 })).applied, 1);
  await ahead.synced();
  assert.equal(ahead.isOnline, true);
  assert.ok(ahead.rows('t').some(([pk]) => pk[0] === 2));
});
