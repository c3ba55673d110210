import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROTOCOL_VERSION } from '../../src/protocol/constants.ts';
import { decodeChangeSet, encodeChangeSet } from '../../src/protocol/types.ts';
import { decodeValue, encodeValue, valueFault } from '../../src/protocol/values.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine, takeSnapshot } from '../support/engine.ts';
import { decodeApplyBody, decodeCheckpointBody } from './decode-at-once.ts';
import { type SnapshotChunk, VECTORS, vectorToValue } from './vectors.ts';

const LIMITS = { changesPerBatch: 1000, valuesPerMessage: 10_000_000, valueBytes: 4 * 1024 * 1024 };

test('the vectors are of the version that the server speaks', () => {
  assert.equal(VECTORS.protocolVersion, PROTOCOL_VERSION);
});

test('every SQL value vector is encoded and decoded', () => {
  for (const vector of VECTORS.values) {
    const value = vectorToValue(vector);
    const what = `value ${vector.index}`;
    assert.equal(JSON.stringify(encodeValue(value)), JSON.stringify(vector.wire), what);
    // JSON has no -0: it leaves as 0 and stays it.
    assert.deepEqual(decodeValue(vector.wire), Object.is(value, -0) ? 0 : value, what);
    assert.equal(valueFault(vector.wire), undefined, what);
  }
});

test('every change set vector is accepted, and comes back from the public types as it was', () => {
  const decoded = decodeApplyBody(JSON.stringify(VECTORS.changeSets), LIMITS);
  assert.deepEqual(decoded, VECTORS.changeSets);
  for (const changeSet of decoded) {
    assert.deepEqual(encodeChangeSet(decodeChangeSet(changeSet)), changeSet);
  }
});

test('the public types hold bytes as bytes and bigints as bigints', () => {
  const [, mixed] = VECTORS.changeSets.map(decodeChangeSet);
  const [column, deletion, bare] = mixed?.changes ?? [];
  assert.ok(column?.type === 'column' && deletion?.type === 'delete' && bare?.type === 'delete');
  assert.equal(column.priorValue, 'old');
  assert.equal(column.priorHlc?.wallTime, 1_795_000_000_100n);
  assert.deepEqual(deletion.pk, [9_007_199_254_740_993n, new Uint8Array([1, 2])]);
  assert.deepEqual(deletion.priorRow, [1, null, 'x', new Uint8Array([9])]);
  assert.equal('priorRow' in bare, false);
});

test('a POST body may be the change sets or hold them; migrations may be missing', () => {
  const { changeSets } = VECTORS;
  assert.deepEqual(decodeApplyBody(JSON.stringify(changeSets), LIMITS), changeSets);
  const wrapped = JSON.stringify({ changes: changeSets });
  assert.deepEqual(decodeApplyBody(wrapped, LIMITS), changeSets);
  const bare = changeSets.map(({ schemaMigrations: _, ...rest }) => rest);
  const decoded = decodeApplyBody(JSON.stringify(bare), LIMITS);
  assert.ok(decoded.every(({ schemaMigrations }) => schemaMigrations.length === 0));
});

test('the checkpoint vector is accepted, bare and wrapped', () => {
  const { checkpoint } = VECTORS;
  assert.deepEqual(decodeCheckpointBody(JSON.stringify(checkpoint), LIMITS), checkpoint);
  assert.deepEqual(decodeCheckpointBody(JSON.stringify({ checkpoint }), LIMITS), checkpoint);
});

/** Keys in order of name, of the chunk and of what it holds. */
function shapeOf(chunk: SnapshotChunk): Record<string, string[]> {
  const { entries, migration } = chunk;
  const shape: Record<string, string[]> = { chunk: Object.keys(chunk).sort() };
  if (migration !== undefined) shape.migration = Object.keys(Object(migration)).sort();
  if (Array.isArray(entries)) {
    const keys = entries.flatMap((entry: object) => Object.keys(entry));
    shape.entries = [...new Set(keys)].sort();
  }
  return shape;
}

test('the chunks of a snapshot have the fields of the vectors, no more and no fewer', async () => {
  const { manager } = await openEngine();
  const device = new Device(1);
  const deleted = device.write({ pk: [3], delete: true }, { pk: [4], delete: true });
  const [, withPrior] = deleted.changes;
  if (withPrior?.type === 'delete') withPrior.priorRow = [4, null];
  await manager.apply([
    device.migrate('create_table', 't'),
    device.write(
      { pk: [1], set: { v: { __bin: 'AQ==' } } },
      { pk: [2], set: { v: { __bigint: '10' } } },
    ),
    deleted,
  ]);
  const chunks = (await takeSnapshot(manager)) as SnapshotChunk[];
  const expected = VECTORS.snapshotChunks;
  assert.deepEqual(
    chunks.map(({ type }) => type),
    expected.map(({ type }) => type),
  );
  for (const [i, chunk] of chunks.entries()) {
    const vector = expected[i];
    assert.ok(vector);
    assert.deepEqual(shapeOf(chunk), shapeOf(vector), chunk.type);
    for (const [key, value] of Object.entries(vector)) {
      assert.equal(typeof chunk[key], typeof value, `${chunk.type}.${key}`);
    }
  }
  const values = (from: SnapshotChunk[]) =>
    from
      .filter(({ type }) => type === 'column-versions')
      .flatMap(({ entries }) => entries as { column: string; value: unknown; pk: unknown }[])
      .map(({ column, value, pk }) => ({ column, value, pk }));
  assert.deepEqual(values(chunks), values(expected));
  const footers = [chunks, expected].map((all) => {
    const { snapshotId: _, ...counts }: Partial<SnapshotChunk> = all.at(-1) ?? {};
    return counts;
  });
  assert.deepEqual(footers[0], footers[1]);
});
