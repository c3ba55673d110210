import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { databaseIdToDirectoryName } from '../../src/storage/database-directory.ts';
import { isDatabaseId } from '../../src/storage/database-id.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { rawRequest } from '../conformance/raw-http.ts';
import { holds, holdsAsync } from '../support/runs.ts';
import { startServer } from '../support/server.ts';
import { wellFormed } from './garbage.ts';

const ALLOWED = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:.-';
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$/i;

/** By the sentence in the protocol, not by the pattern in the code. */
function isAllowed(text: string): boolean {
  return text.length >= 1 && text.length <= 128 && [...text].every((c) => ALLOWED.includes(c));
}

const goodId = fc.oneof(
  fc.string({ unit: fc.constantFrom(...ALLOWED), minLength: 1, maxLength: 128 }),
  fc.string({ unit: fc.constantFrom(...'aA=:._-'), minLength: 1, maxLength: 5 }).filter(isAllowed),
  fc.string({ unit: fc.constantFrom(...'Xx:'), minLength: 120, maxLength: 128 }),
  fc.constantFrom('.', '..', '...', 'con', 'NUL', 'aux.txt', 'LPT1', 'Com1.a', '-', ':', 'LOCK'),
);

const anyId = fc.oneof(
  goodId,
  fc.string({ unit: fc.constantFrom(...ALLOWED), minLength: 126, maxLength: 131 }),
  fc.string({ unit: 'binary', maxLength: 140 }),
  fc.string({ maxLength: 140 }),
  fc.tuple(goodId, fc.string({ unit: 'grapheme', maxLength: 2 })).map(([id, end]) => id + end),
  fc.constantFrom('', '\u212a', 'é', 'e\u0301', 'ſ', 'ﬁ', 'a\n', 'a\u0000', '../a', 'a/b', '%2e'),
);

test('exactly what the protocol calls a database id is one', () => {
  holds(
    fc.property(anyId, (id) => {
      assert.equal(isDatabaseId(id), isAllowed(id));
    }),
    400,
  );
});

test('a directory is of one database, wherever case or Unicode forms are one', () => {
  const byFolded = new Map<string, string>();
  holds(
    fc.property(
      fc.oneof(
        goodId,
        goodId.map((id) => id.toUpperCase()),
      ),
      (id) => {
        const name = databaseIdToDirectoryName(id);
        const folded = name.normalize('NFKC').toLowerCase();
        assert.equal(byFolded.get(folded) ?? id, id, `two ids share ${name}`);
        byFolded.set(folded, id);
        assert.doesNotMatch(name, RESERVED);
        assert.match(name, /^[^\\/:*?"<>|]+[^. ]$/, 'valid everywhere');
        for (const { dirname, join } of [path.posix, path.win32]) {
          assert.equal(dirname(join('/data', name)), join('/data'), 'it stays in the directory');
        }
      },
    ),
    400,
  );
});

const SITE = new Device(1).siteId;

test('HTTP and WebSocket take the same ids, as they are, and open nothing for others', async (t) => {
  const { httpUrl, wsUrl, service } = await startServer(t, { config: { storage: 'memory:' } });
  const opened = new Set<string>();
  await holdsAsync(
    fc.asyncProperty(anyId, async (raw) => {
      const id = wellFormed(raw);
      const client = await TestClient.open(wsUrl);
      client.send({ type: 'handshake', siteId: SITE, databaseId: id });
      const answer = await client.nextWhere(({ type }) => type !== 'pong');
      if (isAllowed(id)) assert.deepEqual([answer.type, answer.databaseId], ['handshake_ack', id]);
      else assert.deepEqual([answer.code, answer.fatal], ['INVALID_DATABASE_ID', true]);
      client.socket.terminate();
      const { status, json } = await rawRequest(httpUrl, {
        path: `/sync/${encodeURIComponent(id)}/changes`,
        headers: { 'x-site-id': SITE },
      });
      if (isAllowed(id)) opened.add(id);
      if (isAllowed(id)) assert.equal(status, 200, id);
      else {
        assert.ok(status === 400 || status === 404, `${status} for ${JSON.stringify(id)}`);
        assert.ok(['INVALID_DATABASE_ID', 'NOT_FOUND'].includes(json?.error?.code ?? ''));
      }
      assert.ok(service.status().openStores <= opened.size, 'a refused id opened a store');
    }),
    30,
    { endOnFailure: true },
  );
});
