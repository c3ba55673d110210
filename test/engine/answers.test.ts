/** What the coordinator puts in the place of a change, where that is beaten by what its author hasn't heard of. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sender } from '../../src/engine/merge/foreign-authors.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine, readAll, type TestEngine, takeSnapshot } from '../support/engine.ts';
import { Replica } from '../support/replica.ts';

const LATER_MS = 5000;

/** The row is written by one, deleted by another, and forgotten. */
async function deleteAndForget({ manager, world }: TestEngine): Promise<Device> {
  const ben = new Device(2);
  await manager.apply([ben.write({ pk: [1], set: { x: 'old' } })]);
  ben.wallTime += LATER_MS;
  world.nowMs += LATER_MS;
  await manager.apply([ben.write({ pk: [1], delete: true })]);
  return ben;
}

function answer({ manager }: TestEngine, author: Device, set: WireChangeSet, instead: object) {
  const changes = set.changes.map((change) => Object.assign({}, change, instead));
  const sender = new Sender(author.siteId, 'known');
  return manager.apply([], { sender, compensations: [{ ...set, changes }] });
}

test('a late edit that a hook made a deletion of is gone at its author, though a newer one has expired', async () => {
  const engine = await openEngine();
  const { manager, world } = engine;
  const anna = new Device(1);
  const late = anna.write({ pk: [1], set: { x: 'late' } });
  await deleteAndForget(engine);
  world.nowMs += LATER_MS;
  await manager.maintain({ thorough: true });
  const author = new Replica();
  author.apply([late]);
  author.load(await takeSnapshot(manager));
  const { position } = manager;
  await answer(engine, anna, late, { type: 'delete' });
  author.apply(await readAll(manager, position, { reader: anna.siteId }));
  assert.deepEqual(author.contents(), {});
});

test('a late edit that a hook gave another value is gone at its author, where the row was deleted and lives again', async () => {
  const engine = await openEngine();
  const { manager } = engine;
  const anna = new Device(1);
  const late = anna.write({ pk: [1], set: { x: 'late' } });
  const ben = await deleteAndForget(engine);
  await manager.apply([ben.write({ pk: [1], set: { y: 'again' } })]);
  const author = new Replica();
  author.apply([late]);
  // It leaves out deletions of rows that live.
  author.load(await takeSnapshot(manager));
  await manager.sites.noteSnapshotSent(anna.siteId, manager.position);
  const { position } = manager;
  await answer(engine, anna, late, { value: 'edited' });
  author.apply(await readAll(manager, position, { reader: anna.siteId }));
  assert.deepEqual(author.rows('main', 't'), [[[1], { y: 'again' }]]);
});

test('an edit that a hook made a deletion of, and that is sent once more after a snapshot, is gone at its author', async () => {
  const engine = await openEngine();
  const { manager } = engine;
  const [anna, ben] = [new Device(1), new Device(2)];
  await manager.apply([ben.write({ pk: [1], set: { y: 'old' } })]);
  const edit = anna.write({ pk: [1], set: { x: 'erase' } });
  await answer(engine, anna, edit, { type: 'delete' });
  ben.wallTime += LATER_MS;
  await manager.apply([ben.write({ pk: [1], set: { y: 'again' } })]);
  // What was not acknowledged when it asked for the snapshot is applied to that, and sent again.
  const author = new Replica();
  author.load(await takeSnapshot(manager));
  author.apply([edit]);
  await manager.sites.noteSnapshotSent(anna.siteId, manager.position);
  const { position } = manager;
  await answer(engine, anna, edit, { type: 'delete' });
  author.apply(await readAll(manager, position, { reader: anna.siteId }));
  assert.deepEqual(author.rows('main', 't'), [[[1], { y: 'again' }]]);
});
