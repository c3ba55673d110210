import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../../src/testing/device.ts';
import { openEngine } from '../../support/engine.ts';

const device = new Device(1);
const named = (count: number, name: string) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}${i}`, i]));
const write = (set: Record<string, unknown>) => device.write({ pk: [1], set });

test('a row of too many columns is refused, come at once or one by one, and goes on with what it has', async () => {
  const { manager } = await openEngine({ rowLimits: { columnsPerRow: 20, rowBytes: 1e6 } });
  const tooMany = {
    code: 'TOO_LARGE',
    message: 'main.t.b9: more than limits.columnsPerRow (20) columns in one row',
  };
  await assert.rejects(manager.apply([write({ ...named(11, 'a'), ...named(10, 'b') })]), tooMany);
  await manager.apply([write(named(11, 'a'))]);
  // Another of the same group is none the worse for it.
  const [refused, stored] = await Promise.allSettled([
    manager.apply([write(named(10, 'b'))]),
    manager.apply([write({ ...named(9, 'b'), a0: 'new' })]),
  ]);
  assert.equal(refused?.status === 'rejected' && refused.reason.message, tooMany.message);
  assert.equal(stored?.status, 'fulfilled');
  await assert.rejects(manager.apply([write({ b9: 1 })]), tooMany);
  assert.equal((await manager.apply([write({ a0: 'newer' })])).applied, 1);
  // A deletion makes room.
  await manager.apply([device.write({ pk: [1], delete: true })]);
  assert.equal((await manager.apply([write(named(20, 'c'))])).applied, 20);
});

test('a row that is too large is refused, and shrinks or stays as it is', async () => {
  const open = await openEngine({ rowLimits: { columnsPerRow: 100, rowBytes: 5000 } });
  const { manager } = open;
  const text = (length: number) => 'x'.repeat(length);
  const tooLarge = {
    code: 'TOO_LARGE',
    message: 'main.t.b: more than limits.rowBytes (5000) bytes in one row',
  };
  await manager.apply([write({ a: text(3000) })]);
  await assert.rejects(manager.apply([write({ b: text(3000) })]), tooLarge);
  await assert.rejects(manager.apply([write({ c: 1, b: text(1900) })]), tooLarge);
  assert.equal((await manager.apply([write({ a: text(100), b: text(3000) })])).applied, 2);
  // The same key in other words is kept with each cell.
  const spelled = { __bigint: `${'0'.repeat(900)}1` };
  const others = device.write({ pk: [spelled], set: named(3, 'd') });
  await assert.rejects(manager.apply([others]), { code: 'TOO_LARGE', message: /limits\.rowBytes/ });
});

test('a row from before there was a limit may be changed, but not grow', async () => {
  const before = await openEngine({});
  await before.manager.apply([write({ ...named(30, 'a'), text: 'x'.repeat(5000) })]);
  await before.manager.close();
  const { manager } = await openEngine({
    store: before.store,
    rowLimits: { columnsPerRow: 20, rowBytes: 1000 },
  });
  assert.equal((await manager.apply([write({ a1: 7, text: 'x'.repeat(4000) })])).applied, 2);
  await assert.rejects(manager.apply([write({ b: 1 })]), { code: 'TOO_LARGE' });
  await assert.rejects(manager.apply([write({ a1: 'longer' })]), { code: 'TOO_LARGE' });
});

test('what a deletion says of its row is bounded like a row, and leaves the row its room', async () => {
  const rowLimits = { columnsPerRow: 100, rowBytes: 5000 };
  const text = (length: number) => 'x'.repeat(length);
  const remove = (...priorRow: unknown[]) => {
    const set = device.write({ pk: [1], delete: true });
    return { ...set, changes: set.changes.map((change) => ({ ...change, priorRow })) };
  };
  const { manager, store } = await openEngine({ rowLimits });
  const tooLarge = {
    code: 'TOO_LARGE',
    message: 'main.t: priorRow: more than limits.rowBytes (5000) bytes in one row',
  };
  await assert.rejects(manager.apply([remove(text(3000), text(3000))]), tooLarge);
  const whole = [text(2000), text(2000)];
  await manager.apply([write({ a: whole[0], b: whole[1] })]);
  assert.equal((await manager.apply([remove(...whole)])).applied, 1);
  // Read anew, too.
  await manager.close();
  const again = await openEngine({ store, rowLimits });
  const full = write({ a: whole[0], b: whole[1] });
  assert.equal((await again.manager.apply([full])).applied, 2);
  const anyRow = await openEngine({});
  await anyRow.manager.apply([write({ text: text(9000) })]);
  await anyRow.manager.close();
  const bounded = await openEngine({ store: anyRow.store, rowLimits });
  assert.equal((await bounded.manager.apply([remove(text(8990))])).applied, 1, 'it held that');
});
