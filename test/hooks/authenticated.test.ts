/** What modules add to an identity, and what they can't. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import { CLIENT, REQUEST, SITE, testChain, untyped } from './support.ts';

const ask = (client: ClientIdentity, ...modules: CoordinatorHooks[]) =>
  testChain(modules).authenticated(client, REQUEST);

const answering = (answer: unknown) => untyped({ onAuthenticated: () => answer });

test('each module adds to what the one before has added; what it passes on is frozen', async () => {
  const client = { ...CLIENT, expiresAt: 2000, metadata: { team: 'a', role: 'guest' } };
  const identity = await ask(
    client,
    { onAuthenticated: async () => ({ metadata: { role: 'staff' } }) },
    { onAuthenticated: () => undefined },
    {
      onAuthenticated(known) {
        assert.ok(Object.isFrozen(known));
        assert.deepEqual(known.metadata, { team: 'a', role: 'staff' });
        return { ...known, expiresAt: 1000, metadata: { admin: known.metadata?.role === 'staff' } };
      },
    },
    answering({ roles: ['editor'] }),
  );
  assert.deepEqual(identity, {
    ...client,
    expiresAt: 1000,
    metadata: { team: 'a', role: 'staff', admin: true },
    roles: ['editor'],
  });
  assert.ok(Object.isFrozen(identity));
  assert.deepEqual(client.metadata, { team: 'a', role: 'guest' }, 'nobody else’s is changed');
});

for (const [what, answer] of [
  ['another user', { userId: 'ben' }],
  ['another site', { siteId: new Uint8Array(16) }],
  ['a site id that is none', { siteId: 'x' }],
  ['another database', { databaseId: 'other' }],
  ['another address', { remoteAddress: '10.0.0.1' }],
  ['a longer life', { expiresAt: 1001 }],
  ['a life in text', { expiresAt: 'soon' }],
  ['metadata in text', { metadata: 'admin' }],
  ['what is no object', true],
  ['an error', new Error('no roles')],
] as const) {
  test(`${what} is no answer: the client is not let in`, async () => {
    const client = { ...CLIENT, expiresAt: 1000 };
    await assert.rejects(ask(client, answering(answer)), { code: 'HOOK_FAILED' });
  });
}

test('what has no end gets one; a user is not made where there was none', async () => {
  const nobody = { siteId: SITE, databaseId: 'db' };
  assert.deepEqual(await ask(nobody, answering({ expiresAt: 5.7 })), { ...nobody, expiresAt: 5 });
  await assert.rejects(ask(nobody, answering({ userId: 'ann' })), { code: 'HOOK_FAILED' });
});

test('who is refused by one is told its error; the next is not asked, and no token is logged', async () => {
  const suspended = new SyncError('AUTH_FAILED', 'suspended');
  const chain = testChain([
    {
      onAuthenticated: () => {
        throw suspended;
      },
    },
    { onAuthenticated: () => assert.fail('asked') },
  ]);
  await assert.rejects(chain.authenticated(CLIENT, REQUEST), { code: 'AUTH_FAILED' });
  const failing = testChain([
    { onAuthenticated: () => Promise.reject(new Error(`no roles for ${REQUEST.token}`)) },
  ]);
  await assert.rejects(failing.authenticated(CLIENT, REQUEST), { code: 'HOOK_FAILED' });
  assert.match(failing.errors.join(), /no roles/);
  assert.doesNotMatch(failing.errors.join(), new RegExp(`${REQUEST.token}`));
});
