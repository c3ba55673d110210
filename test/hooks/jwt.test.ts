/** JSON Web Tokens with real keys, and with a JWKS on a real server. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import {
  exportJWK,
  exportPKCS8,
  exportSPKI,
  type GenerateKeyPairResult,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { siteIdToText } from '../../src/clock/site-id.ts';
import jwt, { type JwtOptions } from '../../src/hooks/builtin/jwt.ts';
import tokenWhitelist from '../../src/hooks/builtin/token-whitelist.ts';
import { sharedUsers } from '../../src/hooks/loading/shared-users.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';
import { REQUEST, SITE, setUpModule, testChain } from './support.ts';

const SECRET = 'a shared secret that is long enough, as secrets go';
const KEY = new TextEncoder().encode(SECRET);
const SITE_TEXT = siteIdToText(SITE);

async function start(t: TestContext, ...options: JwtOptions[]) {
  const modules = await Promise.all(options.map((each) => setUpModule(t, jwt, each)));
  const chain = testChain(
    modules.map(({ hooks }) => hooks),
    { timeoutMs: 5000 },
  );
  const authenticate = (token: string | undefined) => chain.authenticate({ ...REQUEST, token });
  return { authenticate, chain };
}

function sign(
  claims: JWTPayload,
  key: Parameters<SignJWT['sign']>[0] = KEY,
  alg = 'HS256',
  kid?: string,
) {
  return new SignJWT(claims).setProtectedHeader({ alg, kid }).sign(key);
}

test('a token with the shared secret says who its client is, and until when', async (t) => {
  const { authenticate } = await start(t, { secret: SECRET });
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const identity = await authenticate(await sign({ sub: 'ann', exp, role: 'editor' }));
  assert.deepEqual(identity, {
    siteId: SITE,
    userId: 'ann',
    expiresAt: exp * 1000,
    metadata: { claims: { sub: 'ann', exp, role: 'editor' } },
  });
  const numbered = await start(t, { secret: SECRET, userClaim: 'id' });
  assert.equal((await numbered.authenticate(await sign({ id: 7 })))?.userId, '7');
});

test('what is no JWT, or of another issuer, is for the next module', async (t) => {
  const { authenticate } = await start(t, { secret: SECRET, issuer: 'here' });
  for (const token of [
    undefined,
    '',
    'token',
    'a.b.c',
    'x.y',
    await sign({ sub: 'a', iss: 'there' }),
  ]) {
    assert.equal(await authenticate(token), undefined, token);
  }
  assert.equal((await authenticate(await sign({ sub: 'ann', iss: 'here' })))?.userId, 'ann');
});

test('two issuers and a token list stand side by side', async (t) => {
  const other = 'another secret, which is just as long as the first';
  const modules = [
    await setUpModule(t, tokenWhitelist, { tokens: ['robot'] }),
    await setUpModule(t, jwt, { secret: SECRET, issuer: 'here' }),
    await setUpModule(t, jwt, { secret: other, issuer: 'there' }),
  ];
  const chain = testChain(modules.map(({ hooks }) => hooks));
  const userOf = async (token: string) => (await chain.authenticate({ ...REQUEST, token }))?.userId;
  assert.match((await userOf('robot')) ?? '', /^token:/);
  assert.equal(await userOf(await sign({ sub: 'ann', iss: 'here' })), 'ann');
  const ofOther = await sign({ sub: 'ben', iss: 'there' }, new TextEncoder().encode(other));
  assert.equal(await userOf(ofOther), 'ben');
  await assert.rejects(userOf(await sign({ sub: 'ben', iss: 'there' })), { code: 'AUTH_FAILED' });
});

test('one name of two issuers is two users with a userPrefix, and without is warned of', async (t) => {
  const key = 'another secret, which is just as long as the first';
  const setUp = (secret: string, issuer: string, more: JwtOptions = {}) =>
    setUpModule(t, jwt, { secret, issuer, ...more });
  const list = await setUpModule(t, tokenWhitelist, { tokens: ['robot'] });
  const here = await setUp(SECRET, 'here');
  const there = await setUp(key, 'there', { userPrefix: 'there:' });
  const chain = testChain([here.hooks, there.hooks]);
  const userOf = async (token: string) => (await chain.authenticate({ ...REQUEST, token }))?.userId;
  assert.equal(await userOf(await sign({ sub: 'ann', iss: 'here' })), 'ann');
  const ofThere = await sign({ sub: 'ann', iss: 'there' }, new TextEncoder().encode(key));
  assert.equal(await userOf(ofThere), 'there:ann');

  assert.deepEqual(sharedUsers([list, here, there]), []);
  const alike = [
    here,
    await setUp(key, 'there'),
    there,
    await setUp(key, 'x', { userPrefix: 'there:' }),
  ];
  const warned = sharedUsers(alike.map((module, i) => ({ ...module, name: `jwt ${i}` })));
  assert.deepEqual(
    warned.map((text) => /^users of (.*) that have one name are one user/.exec(text)?.[1]),
    ['jwt 0 and jwt 1', 'jwt 2 and jwt 3'],
  );
});

test('everything that is wrong with a token is final, but what time mends', async (t) => {
  const options = { secret: SECRET, audience: ['app', 'web'], requiredClaims: ['role'] };
  const { authenticate, chain } = await start(t, options);
  const good = { sub: 'ann', aud: 'app', role: 'r' };
  const past = Math.floor(Date.now() / 1000) - 10;
  assert.equal((await authenticate(await sign(good)))?.userId, 'ann');
  const [header = '', , signature = ''] = (await sign(good)).split('.');
  const forged = Buffer.from(JSON.stringify({ ...good, sub: 'root' })).toString('base64url');
  const refused: Record<string, string> = {
    'another secret': await sign(good, new TextEncoder().encode(SECRET.toUpperCase())),
    'a changed payload': `${header}.${forged}.${signature}`,
    'another audience': await sign({ ...good, aud: 'other' }),
    'no audience': await sign({ sub: 'ann', role: 'r' }),
    'a missing claim': await sign({ sub: 'ann', aud: 'app' }),
    'no user': await sign({ aud: 'app', role: 'r' }),
    'an empty user': await sign({ ...good, sub: '' }),
    'a time to begin that is none': await sign({ ...good, nbf: 'x' as unknown as number }),
    'no signature': new UnsecuredJWT(good).encode(),
    'another secret, and run out': await sign({ ...good, exp: past }, KEY.slice().reverse()),
    'a time that no clock reaches': await sign({ ...good, exp: 1e308 }),
    'a time beyond what milliseconds can count': await sign({ ...good, exp: 1e14 }),
  };
  for (const [what, token] of Object.entries(refused)) {
    await assert.rejects(authenticate(token), { code: 'AUTH_FAILED' }, what);
  }
  for (const exp of [past, -1, -1e308]) {
    await assert.rejects(authenticate(await sign({ ...good, exp })), { code: 'AUTH_EXPIRED' });
  }
  const early = await sign({ ...good, nbf: past + 3600 });
  await assert.rejects(authenticate(early), { code: 'AUTH_EXPIRED', message: /not valid yet/ });
  for (const line of chain.logs) assert.doesNotMatch(line, /ey[A-Za-z0-9_-]{10}\./, 'no token');
});

test('what a refused token says of its owner is not logged', async (t) => {
  const { authenticate, chain } = await start(t, { secret: SECRET, audience: 'app' });
  const claims = { sub: 'ann', aud: 'other', email: 'ann@example.com' };
  const past = Math.floor(Date.now() / 1000) - 10;
  await assert.rejects(authenticate(await sign(claims)), { code: 'AUTH_FAILED' });
  await assert.rejects(authenticate(await sign({ ...claims, aud: 'app', exp: past })));
  const log = [...chain.logs, ...chain.errors].join('\n');
  assert.match(log, /unexpected "aud" claim value/);
  assert.doesNotMatch(log, /example/);
});

test('a token is good for the sites that it names', async (t) => {
  const { authenticate } = await start(t, { secret: SECRET, siteClaim: 'sites' });
  const other = siteIdToText(new Uint8Array(16));
  for (const sites of [SITE_TEXT, [other, SITE_TEXT]]) {
    assert.equal((await authenticate(await sign({ sub: 'ann', sites })))?.userId, 'ann');
  }
  for (const sites of [undefined, other, [], [other], `${SITE_TEXT}${other}`, { 0: SITE_TEXT }]) {
    await assert.rejects(authenticate(await sign({ sub: 'ann', sites })), { code: 'AUTH_FAILED' });
  }
});

for (const alg of ['RS256', 'ES256', 'EdDSA']) {
  test(`a public key of ${alg}, as PEM and as JWK`, async (t) => {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const pem = await exportSPKI(publicKey);
    const token = await sign({ sub: 'ann' }, privateKey, alg);
    const jwk = { ...(await exportJWK(publicKey)) };
    for (const key of [pem, jwk]) {
      const { authenticate } = await start(t, { publicKey: key });
      assert.equal((await authenticate(token))?.userId, 'ann');
      // The public key is known to all: what was signed with it as a secret proves nothing.
      const confused = await sign({ sub: 'root' }, new TextEncoder().encode(pem));
      await assert.rejects(authenticate(confused), { code: 'AUTH_FAILED' });
    }
  });
}

interface Published {
  kid: string | undefined;
  pair: GenerateKeyPairResult;
}

/** A service that publishes keys, counts who asks, and can fail. */
async function startKeyService(t: TestContext) {
  const service = { published: [] as Published[], requests: 0, status: 200, url: '', body: '' };
  const server = createServer(async (_request, response) => {
    service.requests++;
    const keys = await Promise.all(
      service.published.map(async ({ kid, pair }) => ({
        ...(await exportJWK(pair.publicKey)),
        kid,
      })),
    );
    response.writeHead(service.status, { 'content-type': 'application/json' });
    response.end(service.body || JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close().closeAllConnections());
  service.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  return service;
}

async function newKey(kid?: string): Promise<Published> {
  return { kid, pair: await generateKeyPair('ES256', { extractable: true }) };
}

function signWith({ kid, pair }: Published, claims: JWTPayload = {}): Promise<string> {
  return sign({ sub: kid ?? 'ann', ...claims }, pair.privateKey, 'ES256', kid);
}

test('published keys are fetched once, and again for a key that is new', async (t) => {
  const service = await startKeyService(t);
  const [one, two] = [await newKey('one'), await newKey('two')];
  service.published = [one];
  const { authenticate } = await start(t, { jwksUrl: service.url, jwksCooldownSeconds: 0 });
  for (let i = 0; i < 3; i++)
    assert.equal((await authenticate(await signWith(one)))?.userId, 'one');
  assert.equal(service.requests, 1);
  service.published = [one, two];
  assert.equal((await authenticate(await signWith(two)))?.userId, 'two');
  assert.equal(service.requests, 2);
  // It may be published a moment later, or have been withdrawn.
  await assert.rejects(authenticate(await signWith(await newKey('three'))), {
    code: 'AUTH_EXPIRED',
  });
});

for (const [how, kid] of [
  ['without names', undefined],
  ['of one name', 'key'],
] as const) {
  test(`of published keys ${how} each is tried`, async (t) => {
    const service = await startKeyService(t);
    const [one, two, three] = [await newKey(kid), await newKey(kid), await newKey(kid)];
    service.published = [one, two];
    const options = { jwksUrl: service.url, jwksCooldownSeconds: 0, audience: 'app' };
    const { authenticate } = await start(t, options);
    const toApp = { sub: 'ann', aud: 'app' };
    for (const key of [one, two])
      assert.equal((await authenticate(await signWith(key, toApp)))?.userId, 'ann');
    assert.equal(service.requests, 1);
    // What is wrong with a token is wrong with each key.
    const past = Math.floor(Date.now() / 1000) - 10;
    const wrong = [
      ['AUTH_FAILED', { ...toApp, aud: 'other' }],
      ['AUTH_EXPIRED', { ...toApp, exp: past }],
    ] as const;
    for (const [code, claims] of wrong) {
      await assert.rejects(authenticate(await signWith(two, claims)), { code });
    }
    assert.equal(service.requests, 1);
    // One takes the place of another, and nothing but the signature tells.
    const ofThree = await signWith(three, toApp);
    await assert.rejects(authenticate(ofThree), { code: 'AUTH_EXPIRED' });
    service.published = [three];
    assert.equal((await authenticate(ofThree))?.userId, 'ann');
    await assert.rejects(authenticate(await signWith(one, toApp)), { code: 'AUTH_EXPIRED' });
  });
}

test('a service that publishes what is no set of keys, or none in it, is one that is down', async (t) => {
  const service = await startKeyService(t);
  const key = await newKey('one');
  service.published = [key];
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const options = { jwksUrl: service.url, jwksMaxAgeSeconds: 60, jwksCooldownSeconds: 0 };
  const { authenticate } = await start(t, options);
  const token = await signWith(key);
  assert.equal((await authenticate(token))?.userId, 'one');
  const stranger = await signWith(await newKey('two'));
  for (const body of ['{"keys":[]}', '<html>', '{}', '{"keys":[7]}', '{"keys":{}}']) {
    service.body = body;
    t.mock.timers.tick(6000);
    await assert.rejects(authenticate(stranger), { code: 'OVERLOADED' }, body);
    // What was published before goes on to be good.
    assert.equal((await authenticate(token))?.userId, 'one', body);
  }
  t.mock.timers.tick(60_000);
  await assert.rejects(authenticate(token), { code: 'OVERLOADED' });
  service.body = '';
  t.mock.timers.tick(6000);
  assert.equal((await authenticate(token))?.userId, 'one');
});

test('when keys cannot be had, nobody is told to give up for good, and one fetch is for all', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const service = await startKeyService(t);
  const key = await newKey('one');
  service.published = [key];
  service.status = 500;
  const { authenticate } = await start(t, { jwksUrl: service.url });
  const isTryLater = (error: { code?: string; retryAfterMs?: number }) =>
    error.code === 'OVERLOADED' && (error.retryAfterMs ?? 0) > 0;
  const strangers = await Promise.all(['one', 'two', 'three'].map(newKey));
  const tokens = await Promise.all(strangers.map((key) => signWith(key)));
  await Promise.all(tokens.map((token) => assert.rejects(authenticate(token), isTryLater)));
  for (const token of tokens) await assert.rejects(authenticate(token), isTryLater);
  assert.equal(service.requests, 1);
  service.status = 200;
  t.mock.timers.tick(5000);
  assert.equal((await authenticate(await signWith(key)))?.userId, 'one');
  // Just fetched: a key that is new may be missing only since nobody has looked again.
  await assert.rejects(authenticate(await signWith(await newKey('two'))), isTryLater);
  assert.equal(service.requests, 2);
});

test('options that cannot work fail the start, and say why', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const pem = await exportSPKI(publicKey);
  const wrong: [JwtOptions | Record<string, unknown>, RegExp][] = [
    [{}, /one of the options secret, publicKey and jwksUrl/],
    [{ secret: SECRET, publicKey: pem }, /one of the options/],
    [{ secret: 'short' }, /5 bytes, of 32/],
    [{ publicKey: { kty: 'oct', k: 'c2VjcmV0' } }, /publicKey is a secret or private key/],
    [{ publicKey: await exportJWK(privateKey) }, /publicKey is a secret or private key/],
    [{ publicKey: await exportPKCS8(privateKey) }, /publicKey is a secret or private key/],
    [{ publicKey: 'no key' }, /publicKey is no public key/],
    [{ publicKey: pem, algorithms: ['HS256'] }, /HS256, not of such a key/],
    [{ secret: SECRET, algorithms: ['none'] }, /options\.algorithms\[0\]/],
    [{ jwksUrl: 'file:///etc/passwd' }, /options\.jwksUrl/],
    [{ secret: SECRET, audeince: 'app' }, /must not have "audeince"/],
  ];
  for (const [options, message] of wrong)
    await assert.rejects(setUpModule(t, jwt, options), message);
});

test('over the wire: the ack says until when, and an expired token need not be final', async (t) => {
  const server = await startServer(t, {
    config: { storage: 'memory:', auth: { mode: 'custom' }, hooks: [[jwt, { secret: SECRET }]] },
  });
  const { siteId } = new Device(1);
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const client = await TestClient.open(server.wsUrl);
  t.after(() => client.socket.terminate());
  client.send({ type: 'handshake', siteId, token: await sign({ sub: 'ann', exp }) });
  assert.equal((await client.next('handshake_ack')).expiresAt, exp * 1000);

  const late = await TestClient.open(server.wsUrl);
  late.send({ type: 'handshake', siteId, token: await sign({ sub: 'ann', exp: exp - 7200 }) });
  const { code, fatal } = await late.next('error');
  assert.deepEqual([code, fatal, (await late.closed).code], ['AUTH_EXPIRED', false, 4001]);
});
