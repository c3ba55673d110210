import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import plugin, { answerErrors } from '../../plugins/errors.ts';
import metrics from '../../plugins/metrics.ts';
import { ClientGone } from '../../src/errors/client-gone.ts';
import { SyncError } from '../../src/errors/sync-error.ts';
import { BoundedLog } from '../../src/logging/bounded-log.ts';
import { assertNeeds, bareApp } from './bare-app.ts';

/** An app whose one route fails with what it is given. */
async function failingApp(t: TestContext, error?: unknown): Promise<FastifyInstance> {
  const app = bareApp(t);
  await app.register(metrics);
  await app.register(plugin);
  app.post('/', { bodyLimit: 10 }, () => {
    throw error;
  });
  return app;
}

const envelope = (code: string, message: string) => ({ ok: false, error: { code, message } });

test('it needs the metrics, to count in', async (t) => {
  await assertNeeds(t, plugin, 'sync-coordinator-errors', ['sync-coordinator-metrics']);
});

test('an error with a code is answered with its code, its status and its message', async (t) => {
  const app = await failingApp(
    t,
    new SyncError('CLOCK_DRIFT', 'too far ahead', { serverTimeMs: 1_800_000_000_000 }),
  );
  const response = await app.inject({ method: 'POST', url: '/' });
  assert.equal(response.statusCode, 409);
  assert.deepEqual(response.json(), {
    ok: false,
    error: { code: 'CLOCK_DRIFT', message: 'too far ahead', serverTimeMs: 1_800_000_000_000 },
  });
  assert.equal(response.headers['retry-after'], undefined, 'trying again is no use');
  assert.ok(app.hasPlugin('sync-coordinator-errors'));
});

test('any other error is the server’s fault, and its words stay inside', async (t) => {
  for (const error of [new Error('password is hunter2'), 'hunter2', { hunter2: true }]) {
    const response = await (await failingApp(t, error)).inject({ method: 'POST', url: '/' });
    assert.equal(response.statusCode, 500);
    assert.deepEqual(response.json(), envelope('INTERNAL_ERROR', 'internal error'));
  }
  const cause = new Error('hunter2');
  const app = await failingApp(t, new SyncError('STORE_UNAVAILABLE', 'no store', { cause }));
  const { body } = await app.inject({ method: 'POST', url: '/' });
  assert.ok(!body.includes('hunter2'));
});

test('what may pass says when to try again, in whole seconds that are not too few', async (t) => {
  const seconds = new Map([
    [undefined, '1'],
    [0, '1'],
    [1, '1'],
    [1000, '1'],
    [1001, '2'],
    [90_000, '90'],
  ]);
  for (const [retryAfterMs, expected] of seconds) {
    for (const code of ['OVERLOADED', 'RATE_LIMITED', 'SHUTTING_DOWN'] as const) {
      const app = await failingApp(t, new SyncError(code, 'later', { retryAfterMs }));
      const { headers } = await app.inject({ method: 'POST', url: '/' });
      assert.equal(headers['retry-after'], expected, `${code} after ${retryAfterMs} ms`);
    }
  }
});

test('what Fastify itself refuses is answered in the same words', async (t) => {
  const app = await failingApp(t);
  const json = { 'content-type': 'application/json' };
  const refusals = [
    [{ method: 'POST', url: '/', headers: json, payload: '{' }, 400, 'MESSAGE_ERROR'],
    [{ method: 'POST', url: '/', headers: json, payload: '"0123456789"' }, 413, 'TOO_LARGE'],
    [
      { method: 'POST', url: '/', headers: { 'content-type': 'a/b' }, payload: 'x' },
      400,
      'MESSAGE_ERROR',
    ],
    [{ method: 'GET', url: '/' }, 404, 'NOT_FOUND'],
    [{ method: 'GET', url: '/nowhere' }, 404, 'NOT_FOUND'],
  ] as const;
  for (const [request, status, code] of refusals) {
    const response = await app.inject(request);
    assert.equal(response.statusCode, status);
    assert.equal(response.json().ok, false);
    assert.equal(response.json().error.code, code);
  }
});

test('every refusal is counted by its code', async (t) => {
  const app = await failingApp(t, new SyncError('NOT_AUTHORIZED', 'no'));
  await app.inject({ method: 'POST', url: '/' });
  await app.inject({ method: 'POST', url: '/' });
  await app.inject('/nowhere');
  const counted = await app.coordinatorMetrics.registry.metrics();
  const values = [...counted.matchAll(/^sync_errors_total\{code="(\w+)"\} (\d+)$/gm)];
  assert.deepEqual(
    values.map(([, code, value]) => [code, value]),
    [
      ['NOT_AUTHORIZED', '2'],
      ['NOT_FOUND', '1'],
    ],
  );
});

test('what ends since the client has gone is no failure, and what fails meanwhile is one', async (t) => {
  const gone = new ClientGone();
  const errors = [
    gone,
    new SyncError('GET_CHANGES_ERROR', 'not read', { cause: gone }),
    new SyncError('STORE_UNAVAILABLE', 'no store', { cause: new Error('the disk') }),
    new DOMException('aborted', 'AbortError'),
  ];
  const counted: string[] = [];
  const lines: unknown[][] = [];
  const error = (...line: unknown[]) => void lines.push(line);
  const logger = Object.assign(() => undefined, { warn: error, error });
  const app = bareApp(t);
  const faults = new BoundedLog({ logger, level: 'error', verb: 'failed' });
  answerErrors(app, ({ code }) => counted.push(code), faults);
  app.get('/:i', ({ params }) => {
    throw errors[Number((params as { i: string }).i)];
  });
  for (const i of errors.keys()) await app.inject(`/${i}`);
  assert.deepEqual(counted, ['STORE_UNAVAILABLE', 'INTERNAL_ERROR']);
  assert.deepEqual(
    lines.map(([, what]) => what),
    ['GET /2', 'GET /3'],
  );
});
