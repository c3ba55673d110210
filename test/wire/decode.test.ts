import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { CLIENT_MESSAGE_SCHEMAS } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { RefusedRequest } from '../../src/wire/decode.ts';
import { decodeApplyBody, decodeCheckpointBody, decodeClientMessage } from './decode-at-once.ts';
import { VECTORS } from './vectors.ts';

const CHANGES_MAX = 20;
const LIMITS = {
  changesPerBatch: CHANGES_MAX,
  valuesPerMessage: 10_000_000,
  valueBytes: 4 * 1024 * 1024,
};
const { siteId, hlc } = VECTORS.changeSets[1] ?? { siteId: '', hlc: '' };

const VALID: Record<keyof typeof CLIENT_MESSAGE_SCHEMAS, object> = {
  handshake: { type: 'handshake', siteId, token: 't', databaseId: 'd', protocolVersion: 1 },
  get_changes: { type: 'get_changes', sinceHLC: hlc },
  apply_changes: { type: 'apply_changes', changes: VECTORS.changeSets.slice(1), requestId: '1' },
  get_snapshot: { type: 'get_snapshot' },
  resume_snapshot: { type: 'resume_snapshot', checkpoint: VECTORS.checkpoint },
  authenticate: { type: 'authenticate', token: 't', requestId: '1' },
  ping: { type: 'ping' },
};

test('every message of a client is decoded to what it says', () => {
  for (const message of Object.values(VALID)) {
    assert.deepEqual(decodeClientMessage(JSON.stringify(message), LIMITS), message);
  }
});

test('fields that the server does not know are no reason to refuse', () => {
  for (const message of Object.values(VALID)) {
    const more = JSON.stringify({ ...message, added: { later: true } });
    assert.equal(decodeClientMessage(more, LIMITS).type, JSON.parse(more).type);
  }
});

test('the first clients say neither a protocol version nor a database', () => {
  const handshake = { type: 'handshake', siteId };
  assert.deepEqual(decodeClientMessage(JSON.stringify(handshake), LIMITS), handshake);
});

test('another protocol version is told before the shape is judged', () => {
  for (const protocolVersion of [0, 2, 1.5, '1', null]) {
    const text = JSON.stringify({ type: 'handshake', protocolVersion, identity: 'of the future' });
    assert.throws(() => decodeClientMessage(text, LIMITS), {
      code: 'PROTOCOL_VERSION_MISMATCH',
    });
  }
});

const change = { type: 'column', schema: 'main', table: 't', pk: [1], column: 'c', value: 1, hlc };
const deletion = { type: 'delete', schema: 'main', table: 't', pk: [1], hlc };
const rename = { schema: 'main', table: 't', ddl: '', hlc, schemaVersion: 1 };
const withChange = (fault: object) => ({
  changes: [new Device(1).write(), { siteId, transactionId: '', hlc, changes: [change, fault] }],
});
const withMigration = (fault: object) => ({
  changes: [{ siteId, transactionId: '', hlc, changes: [], schemaMigrations: [fault] }],
});
const without = (object: object, key: string) =>
  Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));

/** What is wrong, and the place that the refusal must name. */
const FAULTS: [place: string, message: unknown][] = [
  ['a JSON object', 7],
  ['a JSON object', []],
  ['a JSON object', null],
  ['type', {}],
  ['type', { type: 7 }],
  ['siteId', { type: 'handshake', siteId: 'short' }],
  ['databaseId', { type: 'handshake', siteId, databaseId: 7 }],
  ['token', { type: 'handshake', siteId, token: {} }],
  ['sinceHLC', { type: 'get_changes', sinceHLC: 'yesterday' }],
  ['sinceHLC', { type: 'get_changes', sinceHLC: { wallTime: 1 } }],
  ['changes', { type: 'apply_changes' }],
  ['changes', { type: 'apply_changes', changes: {} }],
  ['requestId', { type: 'apply_changes', changes: [], requestId: {} }],
  ['checkpoint', { type: 'resume_snapshot' }],
  ['checkpoint.hlc', { type: 'resume_snapshot', checkpoint: { ...VECTORS.checkpoint, hlc: '' } }],
  [
    'checkpoint.completedTables[1]',
    { type: 'resume_snapshot', checkpoint: { ...VECTORS.checkpoint, completedTables: ['a.b', 7] } },
  ],
];

const APPLY_FAULTS: [place: string, body: { changes: unknown[] }][] = [
  ['changes[0]', { changes: [null] }],
  ['changes[0]', { changes: [[]] }],
  ['changes[0].siteId', { changes: [{ ...new Device(1).write(), siteId: 'x' }] }],
  ['changes[0].transactionId', { changes: [{ ...new Device(1).write(), transactionId: 7 }] }],
  ['changes[0].hlc', { changes: [{ ...new Device(1).write(), hlc: 'A' }] }],
  ['changes[0].changes', { changes: [{ ...new Device(1).write(), changes: 'none' }] }],
  ['changes[1].changes[1].type', withChange({ ...change, type: 'insert' })],
  ['changes[1].changes[1].type', withChange([])],
  ['changes[1].changes[1].hlc', withChange({ ...change, hlc: hlc.slice(1) })],
  ['changes[1].changes[1].pk', withChange({ ...change, pk: 'one' })],
  ['changes[1].changes[1].pk[0]', withChange({ ...change, pk: [{ __bigint: 'one' }] })],
  ['changes[1].changes[1].table', withChange({ ...change, table: null })],
  ['changes[1].changes[1]', withChange(without(change, 'column'))],
  ['changes[1].changes[1]', withChange(without(change, 'value'))],
  ['changes[1].changes[1].value', withChange({ ...change, value: { __bin: 7 } })],
  ['changes[1].changes[1]', withChange({ ...change, priorHlc: hlc })],
  ['changes[1].changes[1]', withChange({ ...change, priorValue: null })],
  ['changes[1].changes[1].priorHlc', withChange({ ...change, priorValue: 1, priorHlc: 'x' })],
  [
    'changes[1].changes[1].priorRow[2]',
    withChange({ ...deletion, priorRow: [1, 2, { __bin: 0 }] }),
  ],
  ['changes[0].schemaMigrations[0]', withMigration({ ...rename, type: 'truncate' })],
  ['changes[0].schemaMigrations[0].fromTable', withMigration({ ...rename, type: 'rename_table' })],
  [
    'changes[0].schemaMigrations[0].schemaVersion',
    withMigration({ ...rename, type: 'add_column', schemaVersion: -1 }),
  ],
];

function refusalOf(work: () => unknown): SyncError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof SyncError, String(error));
    return error;
  }
  assert.fail('it was not refused');
}

test('a message of a wrong shape is refused with its place', () => {
  for (const [place, message] of FAULTS) {
    const text = JSON.stringify(message);
    const refusal = refusalOf(() => decodeClientMessage(text, LIMITS));
    assert.equal(refusal.code, 'MESSAGE_ERROR', text);
    assert.ok(refusal.message.includes(place), `${text}: ${refusal.message}`);
  }
});

test('a fault in a batch is refused with the same place over both transports', () => {
  for (const [place, body] of APPLY_FAULTS) {
    const message = JSON.stringify({ type: 'apply_changes', ...body });
    const overSocket = refusalOf(() => decodeClientMessage(message, LIMITS));
    const overHttp = refusalOf(() => decodeApplyBody(JSON.stringify(body), LIMITS));
    assert.equal(overSocket.code, 'MESSAGE_ERROR', message);
    assert.ok(overSocket.message.startsWith(place), `${place} in ${overSocket.message}`);
    assert.equal(overHttp.message, overSocket.message);
    const bare = refusalOf(() => decodeApplyBody(JSON.stringify(body.changes), LIMITS));
    assert.ok(bare.message.startsWith(place.replace(/^changes/, '')), bare.message);
  }
});

test('what is not JSON is refused as such', () => {
  for (const text of ['', '{', 'nonsense', '{"type":"ping"}x', '\ud800']) {
    const decoders = [
      () => decodeClientMessage(text, LIMITS),
      () => decodeApplyBody(text, LIMITS),
      () => decodeCheckpointBody(text, LIMITS),
    ];
    for (const decode of decoders) {
      assert.throws(decode, { code: 'MESSAGE_ERROR', message: /^not valid JSON/ });
    }
  }
});

test('types that are not messages are unknown, also those that every object has', () => {
  for (const type of ['hello', '', 'constructor', '__proto__', 'toString', 'x'.repeat(10_000)]) {
    const refusal = refusalOf(() => decodeClientMessage(JSON.stringify({ type }), LIMITS));
    assert.equal(refusal.code, 'UNKNOWN_MESSAGE');
    assert.ok(refusal.message.length < 200);
  }
});

test('a batch of more changes than allowed is refused; migrations count', () => {
  const device = new Device(1);
  const sets = Array.from({ length: CHANGES_MAX }, (_, i) =>
    device.write({ pk: [i], set: { a: 1 } }),
  );
  assert.equal(decodeApplyBody(JSON.stringify(sets), LIMITS).length, CHANGES_MAX);
  const more = [...sets, device.migrate('create_table', 't')];
  const refusal = refusalOf(() => decodeApplyBody(JSON.stringify(more), LIMITS));
  assert.equal(refusal.code, 'TOO_LARGE');
  assert.match(refusal.message, /limits\.changesPerBatch/);
});

test('the requestId of a refused message is told with the refusal', () => {
  const requestIdOf = (text: string) => {
    const refusal = refusalOf(() => decodeClientMessage(text, LIMITS));
    return refusal instanceof RefusedRequest ? refusal.requestId : undefined;
  };
  assert.equal(requestIdOf('{"type":"x","requestId":" α "}'), ' α ');
  assert.equal(requestIdOf('{"type":"apply_changes","changes":[7],"requestId":"1"}'), '1');
  for (const text of ['{', 'null', '7', '[]', '{"requestId":7}', '{"type":"x"}']) {
    assert.equal(requestIdOf(text), undefined, text);
  }
});

test('so it is of a message that is refused before it is parsed, or because it can’t be', () => {
  const values = (count: number) =>
    `[${Array.from({ length: count }, () => '{"requestId":"no"}')}]`;
  const bodies = {
    'too many values': values(5000),
    'too many, and long': values(50_000),
    'nested too deep': `${'['.repeat(200_000)}1${']'.repeat(200_000)}`,
    'not JSON': '[nul]',
    'not JSON, and long': `[${'1,'.repeat(200_000)}]`,
    'a number that a double can’t hold': '[9007199254740993]',
    'a long value': `"${'x'.repeat(300_000)}"`,
    'a long value, escaped': `"${String.raw`\"},{\\`.repeat(50_000)}"`,
  };
  for (const valuesPerMessage of [1000, 4_000_000]) {
    for (const [why, body] of Object.entries(bodies)) {
      for (const text of [
        `{"type":"apply_changes", "requestId" : "\u03b1", "changes":${body}}`,
        ` {"type":"apply_changes","changes":${body},"requestId":"no","requestId":"α"}`,
      ]) {
        const limits = { ...LIMITS, valuesPerMessage, valueBytes: 262_144 };
        const refusal = refusalOf(() => decodeClientMessage(text, limits));
        assert.ok(refusal instanceof RefusedRequest, `${why}: ${refusal.message}`);
        assert.equal(refusal.requestId, 'α', why);
      }
    }
  }
});
