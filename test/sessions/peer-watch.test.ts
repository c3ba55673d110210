import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Peer, PeerWatch, type PeerWatchLimits } from '../../src/sessions/peer-watch.ts';
import { aMoment } from '../support/moment.ts';

const LIMITS: PeerWatchLimits = { stalledMs: 30_000, pingMs: 30_000, pongTimeoutMs: 10_000 };

class FakePeer implements Peer {
  isOpen = true;
  isPaused = false;
  arrivedBytes = 0;
  queuedBytes = 0;
  stalledMs = 0;
  pings = 0;
  closedFor: string | undefined;

  ping(): void {
    this.pings++;
  }

  close(_code: number, reason: string): void {
    this.closedFor = reason;
    this.isOpen = false;
  }
}

/** A peer that is watched, and the seconds that pass. */
function watchOne(t: TestContext, limits = LIMITS) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const met: string[] = [];
  const watch = new PeerWatch<FakePeer>(limits, (limit) => met.push(limit));
  t.after(() => watch.stop());
  const peer = new FakePeer();
  const entry = watch.add(peer);
  const leave = () => watch.remove(entry);
  const pass = async (seconds: number, each?: () => void) => {
    for (let i = 0; i < seconds; i++) {
      each?.();
      t.mock.timers.tick(1000);
      await new Promise(setImmediate);
    }
  };
  return { watch, peer, leave, met, pass };
}

test('who says nothing is pinged, and closed if nothing comes of it', async (t) => {
  const { peer, met, pass } = watchOne(t);
  await pass(29);
  assert.equal(peer.pings, 0);
  await pass(2);
  assert.equal(peer.pings, 1);
  await pass(9);
  assert.ok(peer.isOpen);
  await pass(6);
  assert.deepEqual([peer.closedFor, met], ['no answer to a ping', ['limits.pongTimeoutMs']]);
  assert.equal(peer.pings, 1);
});

test('any byte is a sign of life, before a ping and after it', async (t) => {
  const { peer, pass } = watchOne(t);
  await pass(600, () => {
    peer.arrivedBytes++;
  });
  assert.equal(peer.pings, 0);
  let pings = 0;
  await pass(600, () => {
    if (peer.pings > pings) peer.arrivedBytes++;
    pings = peer.pings;
  });
  assert.ok(pings > 10 && peer.isOpen, `${pings}`);
});

test('who is not read, or still has to take what was sent, is not held to an answer', async (t) => {
  const { peer, pass } = watchOne(t);
  peer.isPaused = true;
  await pass(100);
  peer.isPaused = false;
  peer.queuedBytes = 1;
  await pass(100);
  assert.deepEqual([peer.pings, peer.isOpen], [0, true]);
  peer.queuedBytes = 0;
  await pass(50);
  assert.equal(peer.closedFor, 'no answer to a ping');
});

test('who takes nothing of what waits for it is closed for that', async (t) => {
  const { peer, met, pass } = watchOne(t);
  peer.queuedBytes = 1;
  peer.stalledMs = 29_999;
  await pass(10);
  assert.ok(peer.isOpen);
  peer.stalledMs = 30_000;
  await pass(10);
  assert.deepEqual([peer.closedFor, met], ['too slow', ['limits.stalledMs']]);
});

test('a server that was busy, or suspended, holds that against nobody', async (t) => {
  const { peer, pass } = watchOne(t);
  await pass(31);
  assert.equal(peer.pings, 1);
  // However long it was until the next look: what had arrived meanwhile is read before the one after that.
  t.mock.timers.tick(0);
  await pass(1);
  peer.arrivedBytes++;
  await pass(5);
  assert.ok(peer.isOpen);
});

test('many are pinged without holding up others, and who has left is not', async (t) => {
  const { watch, peer, leave, pass } = watchOne(t);
  const others = Array.from({ length: 1000 }, () => new FakePeer());
  for (const other of others) watch.add(other);
  assert.equal(watch.peers.length, 1001);
  leave();
  let turns = 0;
  const count = () => {
    turns++;
    if (others.some(({ pings }) => pings === 0)) setImmediate(count);
  };
  await pass(29);
  count();
  await pass(2);
  while (others.some(({ pings }) => pings === 0)) await aMoment();
  assert.ok(turns >= 10, `${turns}`);
  assert.equal(peer.pings, 0);
});
