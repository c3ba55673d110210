/** Refusals as lines of the log: enough to see who tries what, and never so many as to drown the rest. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from '../../../src/logging/logger.ts';
import { RefusalLog } from '../../../src/service/admission/refusal-log.ts';

function create() {
  const lines: string[] = [];
  const log = (format: string, ...args: unknown[]) => {
    lines.push(format.replaceAll(/%[sd]/g, () => String(args.shift())));
  };
  const logger: Logger = Object.assign(log, { warn: log, error: log });
  return { refusals: new RefusalLog(logger), lines };
}

const REFUSED = { what: 'http login', code: 'AUTH_FAILED' } as const;

test('of each source there are ten lines, and then one that counts the others', () => {
  const { refusals, lines } = create();
  for (let i = 0; i < 100; i++) {
    refusals.add('203.0.113.7', { ...REFUSED, site: String(i) });
    if (i < 3) refusals.add('203.0.113.8', REFUSED);
  }
  assert.equal(lines.length, 13);
  refusals.flush();
  assert.deepEqual(lines.slice(13), ['from 203.0.113.7: 90 more were refused within a minute']);
  refusals.add('203.0.113.7', REFUSED);
  refusals.flush();
  assert.deepEqual(lines.slice(14), ['refused http login: AUTH_FAILED'], 'a minute of its own');
});

test('many sources together have so many lines, and are summed up', () => {
  const { refusals, lines } = create();
  for (let i = 0; i < 5000; i++) refusals.add(`10.0.${i >> 8}.${i & 255}`, REFUSED);
  assert.equal(lines.length, 300);
  refusals.flush();
  const summaries = lines.slice(300);
  assert.equal(summaries.length, 11);
  const counts = summaries.map((line) => Number(/: (\d+) (?:more )?were refused/.exec(line)?.[1]));
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    4700,
  );
});

test('what a client names is cut, and a hook that failed is an error', () => {
  const { refusals, lines } = create();
  const errors: unknown[] = [];
  const logger: Logger = Object.assign(() => {}, {
    warn: () => {},
    error: (...args: unknown[]) => errors.push(args),
  });
  refusals.add('a', { ...REFUSED, userId: 'u'.repeat(10_000) });
  assert.ok((lines[0]?.length ?? 0) < 200);
  new RefusalLog(logger).add('a', { ...REFUSED, code: 'HOOK_FAILED' });
  assert.equal(errors.length, 1);
});
