import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import { sealIdentity } from '../../src/hooks/sealed-identity.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { deferred, SITE } from './support.ts';

test('it is what was given, and nobody’s to change', () => {
  class Ticket {
    uses = 0;
  }
  const ticket = new Ticket();
  const claims: Record<string, unknown> = JSON.parse('{"__proto__":{"role":"user"},"a":[{"b":1}]}');
  claims.self = claims;
  const given = { userId: 'ann', siteId: SITE, metadata: { claims, ticket } };
  const sealed = sealIdentity(given);
  assert.deepEqual({ ...sealed }, given);
  assert.deepEqual(Object.keys(sealed.metadata?.claims ?? {}), ['__proto__', 'a', 'self']);
  sealed.siteId.fill(0);
  assert.deepEqual(sealed.siteId, SITE);
  const [first] = Reflect.get(Object(sealed.metadata?.claims), 'a');
  for (const part of [sealed, sealed.metadata, sealed.metadata?.claims, first]) {
    assert.throws(() => Object.assign(Object(part), { more: 1 }), TypeError);
  }
  // What a module goes on to do with what it gave is its own business.
  claims.role = 'admin';
  assert.equal(Reflect.get(Object(sealed.metadata?.claims), 'role'), undefined);
  assert.equal(sealed.metadata?.ticket, ticket);
});

test('one of many takes little: they have a hidden class in common', () => {
  setFlagsFromString('--expose-gc');
  const gc: () => void = runInNewContext('gc');
  const heapUsed = () => {
    gc();
    return process.memoryUsage().heapUsed;
  };
  const count = 20_000;
  const seal = () => sealIdentity({ siteId: SITE, userId: 'ann', metadata: { role: 'user' } });
  const sealed = new Array<ClientIdentity>(count).fill(seal());
  const before = heapUsed();
  for (let i = 0; i < count; i++) sealed[i] = seal();
  const each = (heapUsed() - before) / count;
  // Once 460, for a hidden class of its own.
  assert.ok(each < 250, `${each} bytes`);
  assert.equal(sealed.length, count);
});

test('a module can’t make somebody else of a client for those after it', async (t) => {
  const spoiling: CoordinatorHooks = {
    onAuthenticate: ({ siteId }) =>
      siteId && { siteId, userId: 'ann', metadata: { roles: ['user'] } },
    onAuthorize(client) {
      client.siteId.fill(0);
      assert.throws(() => Object(client.metadata).roles.push('admin'), TypeError);
      assert.throws(() => Object.assign(client, { userId: 'root' }), TypeError);
      return true;
    },
  };
  const { promise: told, resolve } = deferred();
  const seen: unknown[] = [];
  const last: CoordinatorHooks = {
    onAfterApplyChanges({ userId, siteId, metadata }) {
      seen.push(userId, siteId, metadata);
      resolve();
    },
  };
  const modules = [
    defineHooks({ name: 'spoiling', hooks: spoiling }),
    defineHooks({ name: 'last', hooks: last }),
  ];
  const coordinator = await startCoordinator(t, { config: { hooks: { modules } } });
  const ann = await coordinator.device();
  await ann.write('t', [1], { a: 1 });
  await told;
  const site = new Uint8Array(Buffer.from(ann.siteId, 'base64url'));
  assert.deepEqual(seen, ['ann', site, { roles: ['user'] }]);
});
