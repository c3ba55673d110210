/** Whom a flood of sockets costs its place: whoever makes it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type PendingHandshake,
  PendingHandshakes,
} from '../../../src/service/admission/pending-handshakes.ts';

const LIMITS = { unauthenticatedSockets: 100, sharePerUser: 75, handshakeBytes: 1000 };

function createCrowd(random?: () => number) {
  const pending = new PendingHandshakes(LIMITS, random);
  const refused = new Set<PendingHandshake>();
  const arrive = (address: string): PendingHandshake => {
    const handshake = pending.add(
      { pause: () => undefined, refuse: () => void refused.add(handshake) },
      undefined,
      address,
    );
    return handshake;
  };
  return { pending, refused, arrive };
}

test('the address that has most makes room, however long another has been silent', () => {
  const { pending, refused, arrive } = createCrowd();
  const slow = arrive('192.0.2.1');
  for (let i = 0; i < 10_000; i++) arrive('192.0.2.2');
  assert.equal(refused.has(slow), false);
  assert.ok(pending.size <= 76, `${pending.size}`);
  slow.begin();
  slow.end();
  assert.equal(pending.size, 75);
});

test('who shares the address of a flood gets in by and by, though slower than it', () => {
  let seed = 1;
  const random = () => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const { refused, arrive } = createCrowd(random);
  let gotIn = 0;
  for (let attempt = 0; attempt < 100; attempt++) {
    const slow = arrive('192.0.2.2');
    // More than there are places: the oldest would always be gone.
    for (let i = 0; i < 150; i++) arrive('192.0.2.2');
    if (!refused.has(slow)) gotIn++;
    slow.end();
  }
  assert.ok(gotIn > 0, 'the flood keeps everybody out');
});

test('one address does not take all places for handshakes that are looked at', () => {
  const { pending, arrive } = createCrowd();
  const shaking = Array.from({ length: 75 }, () => arrive('192.0.2.2'));
  for (const handshake of shaking) handshake.begin();
  assert.throws(() => pending.demandRoom('192.0.2.2'), { limit: 'limits.sharePerUser' });
  pending.demandRoom('192.0.2.1');
  shaking[0]?.end();
  pending.demandRoom('192.0.2.2');
});
