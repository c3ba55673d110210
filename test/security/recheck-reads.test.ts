/** What was made ready for a client as who it was, or by other modules, is not sent to it any more. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientIdentity } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { deferred } from '../hooks/support.ts';
import { startRechecking } from './recheck-server.ts';

const author = new Device(1);
const reader = new Device(2);

for (const way of ['GET changes', 'GET snapshot', 'get_changes', 'get_snapshot']) {
  test(`what was seen before a reload that comes while the right is asked is not sent after it: ${way}`, async (t) => {
    let role = 'all';
    /** What comes next of: a page is seen, its right is doubted, the hooks are others. */
    let step: 'none' | 'see' | 'ask' | 'done' = 'none';
    const asked: string[] = [];
    const roleOf = ({ metadata }: ClientIdentity) => String(metadata?.role);
    const { server, state, join, reload } = await startRechecking(
      t,
      {
        onAuthenticated: ({ userId }) => ({
          metadata: { role: userId === 'reader' ? role : 'all' },
        }),
        onAuthorize(client) {
          if (client.userId === 'reader' && step === 'ask') {
            step = 'done';
            role = 'none';
            void reload(true);
            state.verdict.resolve();
          }
          return true;
        },
        async onBeforeSendChanges(client, sets) {
          if (client.userId !== 'reader') return sets;
          asked.push(roleOf(client));
          if (step === 'see') {
            // Until the right is old, and is asked about again.
            const seenMs = Date.now();
            while (Date.now() < seenMs + 5) await new Promise(setImmediate);
            step = 'ask';
          }
          return roleOf(client) === 'all' ? sets : sets.map((set) => ({ ...set, changes: [] }));
        },
      },
      { hooks: { reauthorizeMs: 1 } },
    );
    const writer = await join('author', author);
    await writer.apply(author.write({ pk: [1], set: { value: 'secret' } }));
    const headers = { 'x-site-id': reader.siteId, authorization: 'reader' };
    const get = async (path: string) =>
      (await fetch(`${server.httpUrl}/${path}`, { headers })).text();
    const client = await join('reader', reader);
    step = 'see';
    const answer =
      way === 'get_changes'
        ? JSON.stringify(await client.changesSince())
        : way === 'get_snapshot'
          ? JSON.stringify(await client.snapshot())
          : await get(way.slice('GET '.length));
    assert.equal(step, 'done');
    assert.equal(asked[0], 'all');
    assert.doesNotMatch(answer, /secret/);
  });
}

test('a push that other modules have let pass is not sent, though its reader has the same view key', async (t) => {
  const [seeing, seen] = [deferred(), deferred()];
  let isHidden = false;
  const { state, join, reload } = await startRechecking(t, {
    viewKey: () => 'the same',
    async onBeforeSendChanges({ userId }, sets) {
      if (userId === 'author' || isHidden) return userId === 'author' ? sets : [];
      seeing.resolve();
      await seen.promise;
      return sets;
    },
  });
  const writer = await join('author', author);
  const client = await join('reader', reader);
  await writer.apply(author.write({ pk: [1], set: { value: 'secret' } }));
  await seeing.promise;
  isHidden = true;
  const rechecked = reload(true);
  state.verdict.resolve();
  await rechecked;
  seen.resolve();
  // It is answered after what it is pushed by then.
  for (let i = 0; i < 20; i++) await writer.settled();
  await client.changesSince();
  assert.doesNotMatch(JSON.stringify(client.log), /secret/);
});
