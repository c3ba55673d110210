/** A line of the log is one event, whatever text from outside is in it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import debug from 'debug';
import { createLogger } from '../../src/logger.ts';

test('text from outside stays on its line, and cannot move the cursor', (t) => {
  const lines: string[] = [];
  const write = t.mock.method(process.stderr, 'write', (text: string | Uint8Array) => {
    lines.push(String(text));
    return true;
  });
  debug.enable('sync-coordinator:test:error');
  t.after(() => debug.disable());
  const logger = createLogger('sync-coordinator:test');
  logger.error('site %s', 'a\r\nb\u001b[2J\u0000\u2028\u202ec\u009bé中');
  write.mock.restore();
  const [line = ''] = lines;
  assert.equal(lines.length, 1);
  assert.ok(line.includes('a\\u000d\\u000ab\\u001b[2J\\u0000\\u2028\\u202ec\\u009bé中'), line);
});
