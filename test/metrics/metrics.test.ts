import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTED_LIMITS } from '../../src/errors/limit-names.ts';
import { HOOK_NAMES } from '../../src/hooks/kinds.ts';
import { ERROR_CODES } from '../../src/protocol/error-codes.ts';
import { CLIENT_MESSAGE_SCHEMAS } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';

/** What a label may say. Each list is short, and none is a client's to add to. */
const LABEL_VALUES = new Map<string, ReadonlySet<string>>([
  ['transport', new Set(['http', 'websocket'])],
  ['operation', new Set(Object.keys(CLIENT_MESSAGE_SCHEMAS))],
  ['code', new Set(Object.keys(ERROR_CODES))],
  ['hook', new Set<string>(HOOK_NAMES)],
  ['limit', new Set<string>(COUNTED_LIMITS)],
]);

test('labels come from fixed lists, whatever clients send', async (t) => {
  const server = await startServer(t, {
    config: { storage: 'memory:' },
    hooks: {
      onAuthenticate: ({ siteId, token }) =>
        siteId !== undefined && token !== 'wrong' ? { siteId } : undefined,
      onAuthorize: () => true,
    },
  });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  for (let i = 0; i < 5; i++) {
    const odd = `odd-${i}`;
    client.send({ type: odd, requestId: odd });
    client.send({ type: '__proto__', requestId: odd });
    client.send({ type: 'get_changes', sinceHLC: odd, operation: odd });
    const headers = { 'x-site-id': device.siteId, authorization: odd, 'user-agent': odd };
    const paths = [`/${odd}/changes`, `/changes/${odd}`, `/${odd}/${odd}`, `/changes?limit=${odd}`];
    for (const path of paths) await fetch(`${server.httpUrl}${path}`, { headers });
    await fetch(`${server.httpUrl}/changes`, { method: 'PROPFIND', headers });
    const refused = { ...headers, authorization: 'wrong' };
    await fetch(`${server.httpUrl}/${odd}/snapshot`, { headers: refused });
  }
  await client.settled();
  const text = await server.service.metrics.registry.metrics();
  assert.doesNotMatch(text, /odd|__proto__/);
  const labels = new Set<string>();
  for (const [, inBraces = ''] of text.matchAll(/^sync_\w+\{(.*)\} /gm)) {
    for (const [, name = '', value = ''] of inBraces.matchAll(/(\w+)="([^"]*)"/g)) {
      labels.add(name);
      const allowed = LABEL_VALUES.get(name);
      if (allowed !== undefined) assert.ok(allowed.has(value), `${name}="${value}"`);
    }
  }
  assert.deepEqual([...labels].sort(), [
    ...['code', 'hook', 'le', 'limit', 'module', 'operation', 'outcome', 'transport'],
  ]);
});
