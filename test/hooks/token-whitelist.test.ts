import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import tokenWhitelist from '../../src/hooks/builtin/token-whitelist.ts';
import { REQUEST, SITE, setUpModule, type TestChain, testChain } from './support.ts';

let chain: TestChain;

before(async () => {
  const tokens = ['first', 'second', 'größer'];
  const { hooks } = await setUpModule({ after }, tokenWhitelist, { tokens });
  chain = testChain([hooks]);
});

function withToken(token: string | undefined) {
  return chain.authenticate({ ...REQUEST, token });
}

describe('token-whitelist', () => {
  for (const token of ['first', 'second', 'größer']) {
    it(`accepts "${token}", wherever it is in the list`, async () => {
      const identity = await withToken(token);
      assert.deepEqual(identity?.siteId, SITE);
      assert.match(identity?.userId ?? '', /^token:[0-9a-f]{8}$/);
    });
  }

  for (const token of ['third', 'firs', 'first ', 'FIRST', '', undefined]) {
    it(`passes on ${token === undefined ? 'no token' : `"${token}"`}`, async () => {
      assert.equal(await withToken(token), undefined);
    });
  }

  it('tells tokens apart in userId, the same at every start, and never shows one', async () => {
    const [first, second] = [await withToken('first'), await withToken('second')];
    assert.notEqual(first?.userId, second?.userId);
    // The first digits of `printf first | sha256sum`.
    assert.equal(first?.userId, 'token:a7937b64');
  });

  it('asks for the site id of a client that has a token but names none', async () => {
    const call = chain.authenticate({ ...REQUEST, token: 'first', siteId: undefined });
    await assert.rejects(call, { code: 'NOT_AUTHENTICATED' });
  });

  it('lets nobody in with an empty list', async (t) => {
    const { hooks } = await setUpModule(t, tokenWhitelist, { tokens: [] });
    for (const token of ['first', '', undefined]) {
      const identity = await testChain([hooks]).authenticate({ ...REQUEST, token });
      assert.equal(identity, undefined);
    }
  });

  const unusable: [string, unknown][] = [
    ['text for a list', { tokens: 'first,second' }],
    ['an empty token', { tokens: ['first', ''] }],
    ['a token of blanks', { tokens: ['  '] }],
    ['a number', { tokens: [12345] }],
  ];
  for (const [name, options] of unusable) {
    it(`refuses to be set up with ${name}`, async (t) => {
      await assert.rejects(setUpModule(t, tokenWhitelist, options), /tokens/);
    });
  }
});
