import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { startServer } from '../support/server.ts';
import { rawRequest } from './raw-http.ts';

const SITE = { 'x-site-id': new Device(1).siteId };

test('hooks that take their time are waited for on every route, whatever has become of the body', async (t) => {
  const pause = () => new Promise(setImmediate);
  const server = await startServer(t, {
    config: { storage: 'memory:', auth: { mode: 'custom' } },
    hooks: {
      async onAuthenticate({ siteId }) {
        await pause();
        if (siteId === undefined) throw new Error('who?');
        return { siteId };
      },
      async onAuthorize() {
        await pause();
        return true;
      },
      async onBeforeApplyChanges(_client, changes) {
        await pause();
        return { approved: changes, rejected: [] };
      },
    },
  });
  const ask = (method: string, path: string, body?: string) =>
    rawRequest(server.httpUrl, { method, path: `/sync${path}`, headers: SITE, body });
  const written = JSON.stringify([new Device(1).write({ pk: [1], set: { a: 1 } })]);
  assert.equal((await ask('POST', '/changes', written)).status, 200);
  assert.equal((await ask('POST', '/apply', written)).status, 200);
  assert.equal((await ask('GET', '/changes')).status, 200);
  const { status, text } = await ask('GET', '/snapshot');
  assert.equal(status, 200);
  const { snapshotId, siteId, hlc } = JSON.parse(text.split('\n')[0] ?? '');
  const checkpoint = { snapshotId, siteId, hlc, completedTables: [], createdAt: 0 };
  const counts = { lastTableIndex: 0, lastEntryIndex: 0, entriesProcessed: 0 };
  const resumed = await ask('POST', '/snapshot', JSON.stringify({ ...checkpoint, ...counts }));
  assert.equal(resumed.status, 200);
});

test('a body that is not UTF-8 is refused rather than stored as something else', async (t) => {
  const server = await startServer(t, { config: { storage: 'memory:' } });
  const json = JSON.stringify([new Device(1).write({ pk: [1], set: { a: 'X' } })]);
  const body = Buffer.from(json);
  body[json.indexOf('"X"') + 1] = 0xff;
  const path = '/sync/changes';
  const answer = await rawRequest(server.httpUrl, { method: 'POST', path, headers: SITE, body });
  assert.deepEqual([answer.status, answer.json?.error?.code], [400, 'MESSAGE_ERROR']);
});
