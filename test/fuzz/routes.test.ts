import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isErrorCode } from '../../src/protocol/error-codes.ts';
import { Device } from '../../src/testing/device.ts';
import { pageOf, type RawRequest, type RawResponse, rawRequest } from '../conformance/raw-http.ts';
import { holdsAsync } from '../support/runs.ts';
import { startServer } from '../support/server.ts';
import {
  anyJson,
  anyText,
  mutatedChangeSets,
  mutatedCheckpoint,
  mutatedMessage,
  toText,
  wellFormed,
} from './garbage.ts';

const SITE = new Device(1).siteId;
const HLC = new Device(1).hlc(1);

/** Characters that a client can put into a request line. */
const urlText = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
});

const segment = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('changes', 'apply', 'snapshot', 'status', 'metrics') },
  fc.constantFrom(
    'default',
    'a:b',
    '.',
    '..',
    '%2e%2e',
    '%2f',
    'a%00',
    '%C3%A9',
    '%zz',
    'x'.repeat(129),
  ),
  fc.constantFrom('__proto__', 'constructor', 'x'.repeat(600), '*', ':databaseId', ';', '%F0%9F'),
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => encodeURIComponent(wellFormed(text))),
  urlText,
);

const query = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  fc.constantFrom(
    `?sinceHLC=${encodeURIComponent(HLC)}`,
    '?sinceHLC=',
    '?limit=1',
    '?limit=99999999999999999999',
    '?limit=-1&limit=2',
    '?sinceHLC[]=1',
    '?__proto__=1',
    '?sinceHLC=%ff%fe',
  ),
  urlText.map((text) => `?${text}`),
);

const headerText = fc.oneof(
  fc.constantFrom(
    SITE,
    HLC,
    '',
    'Bearer x',
    'application/json',
    'gzip',
    'null',
    '*/*',
    ';;;',
    '\u00ff',
  ),
  urlText,
);

const headers = fc
  .record(
    {
      'x-site-id': fc.oneof({ weight: 6, arbitrary: fc.constant(SITE) }, headerText),
      'x-since-hlc': headerText,
      authorization: headerText,
      'content-type': headerText,
      'content-encoding': headerText,
      accept: headerText,
      origin: headerText,
    },
    { requiredKeys: [], noNullPrototype: true },
  )
  .map((some) => ({ 'x-site-id': SITE, ...some }));

const body = fc.oneof(
  fc.constant(undefined),
  anyText,
  anyJson.map(toText),
  mutatedChangeSets.map(toText),
  mutatedChangeSets.map((changes) => toText({ changes })),
  mutatedCheckpoint.map(toText),
  mutatedMessage.map(toText),
  fc.uint8Array(),
);

const request: fc.Arbitrary<RawRequest> = fc.record(
  {
    method: fc.constantFrom('GET', 'GET', 'POST', 'POST', 'PUT', 'DELETE', 'PATCH'),
    path: fc
      .tuple(fc.array(segment, { minLength: 1, maxLength: 3 }), query)
      .map(([segments, search]) => `/sync/${segments.join('/')}${search}`),
    headers,
    body,
  },
  { noNullPrototype: true },
);

/** What came is a success, or the envelope with a code that is known. */
function assertAnswered({ status, json, text, headers: received }: RawResponse): void {
  assert.notEqual(status, 500, text.slice(0, 300));
  const type = received['content-type'] ?? '';
  if (status === 200) {
    assert.match(type, /^(application\/(json|x-ndjson)|text\/plain)/);
    if (type.startsWith('application/json')) assert.equal(json?.ok, true);
    return;
  }
  assert.match(type, /^application\/json/);
  assert.equal(json?.ok, false, text.slice(0, 300));
  assert.ok(isErrorCode(json?.error?.code), text.slice(0, 300));
  assert.equal(typeof json?.error?.message, 'string');
  assert.doesNotMatch(text, /node_modules|\.ts:|at async/, 'nothing of the inside');
}

test('every request is answered with success or with a refusal in the envelope', async (t) => {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
  await holdsAsync(
    fc.asyncProperty(request, async (sent) => {
      assertAnswered(await rawRequest(httpUrl, sent));
    }),
    120,
    { endOnFailure: true },
  );
  assert.equal((await rawRequest(httpUrl, { path: '/sync/status' })).status, 200);
});

test('whatever is sent to the known routes, the data stays readable', async (t) => {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
  const known = { headers: { 'x-site-id': SITE } };
  const post = fc.record({
    path: fc.constantFrom('/sync/changes', '/sync/apply', '/sync/snapshot'),
    body: fc.oneof(mutatedChangeSets.map(toText), mutatedCheckpoint.map(toText)),
  });
  await holdsAsync(
    fc.asyncProperty(post, async (sent) => {
      assertAnswered(await rawRequest(httpUrl, { method: 'POST', ...known, ...sent }));
    }),
    80,
    { endOnFailure: true },
  );
  const snapshot = await rawRequest(httpUrl, { path: '/sync/snapshot', ...known });
  const chunks = snapshot.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(chunks.at(-1).type, 'footer');
  const reader = { headers: { 'x-site-id': new Device(2).siteId } };
  let since = '';
  for (let hasMore = true; hasMore; ) {
    const path = `/sync/changes?sinceHLC=${encodeURIComponent(since)}`;
    const answer = await rawRequest(httpUrl, { path, ...reader });
    assert.equal(answer.status, 200);
    ({ hasMore, watermark: since } = pageOf(answer));
  }
});
