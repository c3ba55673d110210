/** What the documented proxies keep inside is all that is to be kept inside. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startServer } from '../support/server.ts';

const OPERATING = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8');

test('the nginx block leaves no way to the metrics, with a database or without', async (t) => {
  const [, pattern] = /location ~ (\S+) \{\s+return 404;/.exec(OPERATING) ?? [];
  assert.ok(pattern !== undefined);
  const isKeptInside = new RegExp(pattern);
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
  for (const path of ['metrics', 'x/metrics', 'a.b:c-d/metrics', 'metrics/metrics']) {
    const { status, headers } = await fetch(`${httpUrl}/${path}`);
    assert.equal(status, 200);
    assert.match(headers.get('content-type') ?? '', /^text\/plain/);
    assert.match(`/sync/${path}`, isKeptInside);
  }
  // nginx compares the path decoded, and passes it on as it came.
  for (const path of ['a%2Fb/metrics', 'x/metric%73', '%2E%2E%2Fb/metrics', 'a%2F..%2Fb/metrics']) {
    const { status } = await fetch(`${httpUrl}/${path}`);
    assert.equal(status, /%2F/.test(path) ? 400 : 200, path);
    assert.match(decodeURIComponent(`/sync/${path}`), isKeptInside);
  }
  for (const path of ['changes', 'metrics/changes', 'x/changes', 'ws', 'status']) {
    assert.doesNotMatch(`/sync/${path}`, isKeptInside);
  }
});
