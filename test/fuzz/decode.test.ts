import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SyncError } from '../../src/errors/sync-error.ts';
import { ERROR_CODES } from '../../src/protocol/error-codes.ts';
import { decodeChangeSet, encodeChangeSet } from '../../src/protocol/types.ts';
import { pkIdentity, valueFault } from '../../src/protocol/values.ts';
import { holds } from '../support/runs.ts';
import {
  decodeApplyBody,
  decodeCheckpointBody,
  decodeClientMessage,
} from '../wire/decode-at-once.ts';
import {
  anyJson,
  anyText,
  mutatedChangeSets,
  mutatedCheckpoint,
  mutatedMessage,
  toText,
} from './garbage.ts';

const LIMITS = { changesPerBatch: 1000, valuesPerMessage: 10_000_000, valueBytes: 4 * 1024 * 1024 };

/** Decodes, or is refused as a client may be told; anything else is a fault of the decoder. */
function decodedOrRefused<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    assert.ok(error instanceof SyncError, `threw ${String(error)}`);
    assert.ok(Object.hasOwn(ERROR_CODES, error.code));
    assert.ok(error.message.length > 0 && error.message.length < 5000, 'a message of some size');
    if (error.code === 'MESSAGE_ERROR') {
      const says = /^(not valid JSON|a message must be|the body must be|[\w[\].~-]+: )/;
      // A place is a path; what stands at the top has none, and says what it must be.
      assert.ok(says.test(error.message) || /^must /.test(error.message), error.message);
    }
    return undefined;
  }
}

/** What no schema names is let through and used by nobody; it may be nested deeper than V8 can write. */
function textUnlessTooDeep(message: object): string | undefined {
  try {
    return JSON.stringify(message);
  } catch (error) {
    assert.ok(error instanceof RangeError);
    return undefined;
  }
}

const input = fc.oneof(
  anyText,
  anyJson.map(toText),
  mutatedMessage.map(toText),
  mutatedChangeSets.map(toText),
  mutatedCheckpoint.map(toText),
);

test('a message is decoded, or refused with a code and a place', () => {
  holds(
    fc.property(input, (text) => {
      const message = decodedOrRefused(() => decodeClientMessage(text, LIMITS));
      const written = message && textUnlessTooDeep(message);
      if (written !== undefined) {
        assert.equal(JSON.stringify(decodeClientMessage(written, LIMITS)), written);
      }
    }),
    300,
  );
});

test('a body of change sets is decoded to what can be carried, or refused', () => {
  const body = fc.oneof(
    mutatedChangeSets.map(toText),
    mutatedChangeSets.map((changes) => toText({ changes })),
    input,
  );
  holds(
    fc.property(body, (text) => {
      const changeSets = decodedOrRefused(() => decodeApplyBody(text, LIMITS)) ?? [];
      for (const changeSet of changeSets) {
        assert.equal(encodeChangeSet(decodeChangeSet(changeSet)).hlc, changeSet.hlc);
        for (const { pk } of changeSet.changes) {
          assert.equal(typeof pkIdentity(pk), 'string');
          assert.deepEqual(JSON.parse(JSON.stringify(pk)), pk);
        }
      }
    }),
    300,
  );
});

test('a checkpoint is decoded or refused', () => {
  holds(
    fc.property(fc.oneof(mutatedCheckpoint.map(toText), input), (text) => {
      const checkpoint = decodedOrRefused(() => decodeCheckpointBody(text, LIMITS));
      if (checkpoint !== undefined) assert.equal(checkpoint.hlc.length, 40);
    }),
    200,
  );
});

test('a value that is accepted can be written again, key or not', () => {
  holds(
    fc.property(anyJson.map(toText), (text) => {
      const value: unknown = JSON.parse(text);
      if (valueFault(value) !== undefined) return;
      assert.equal(typeof pkIdentity([value]), 'string');
      JSON.stringify(value);
    }),
    200,
  );
});

test('no input pollutes what other objects inherit', () => {
  const before = Reflect.ownKeys(Object.prototype).length;
  holds(
    fc.property(mutatedMessage.map(toText), (text) => {
      decodedOrRefused(() => decodeClientMessage(text, LIMITS));
      assert.equal(Reflect.ownKeys(Object.prototype).length, before);
      assert.equal(Reflect.get({}, 'polluted'), undefined);
    }),
    40,
  );
});
