/** A line of the log is one event, whatever text from outside is in it. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import debug from 'debug';
import { createLogger, type Logger } from '../../src/logging/logger.ts';

/** What a logger writes, each write on its own. */
function written(t: TestContext, log: (logger: Logger) => void): string[] {
  const lines: string[] = [];
  const write = t.mock.method(process.stderr, 'write', (text: string | Uint8Array) => {
    lines.push(String(text));
    return true;
  });
  debug.enable('sync-coordinator:test:error');
  t.after(() => debug.disable());
  log(createLogger('sync-coordinator:test'));
  write.mock.restore();
  return lines;
}

test('text from outside stays on its line, and cannot move the cursor', (t) => {
  const text = 'a\r\nb\u001b[2J\u0000\u2028\u202ec\u009bé中';
  const escaped = 'a\\u000d\\u000ab\\u001b[2J\\u0000\\u2028\\u202ec\\u009bé中';
  const lines = written(t, (logger) => {
    logger.error('site %s', text);
    logger.error(`site ${text}`);
  });
  assert.equal(lines.length, 2);
  for (const line of lines) assert.ok(line.includes(`site ${escaped}`), line);
});

test('an error goes on below its line, indented, and the text in it moves nothing', (t) => {
  const message = 'no such table\nx:error forged\u001b[2J\u009b';
  const error = new Error(message, { cause: new TypeError(message) });
  for (const args of [['%O', error], ['it failed:', error], [error]]) {
    const [text = ''] = written(t, (logger) => Reflect.apply(logger.error, undefined, args));
    const [first = '', ...others] = text.trimEnd().split('\n');
    assert.match(first, /^\d{4}-.*sync-coordinator:test:error .*no such table$/);
    assert.ok(others.includes('  x:error forged\\u001b[2J\\u009b'), text);
    assert.ok(
      others.some((line) => / at .*logger\.test\.ts/.test(line)),
      'the stack',
    );
    assert.ok(
      others.some((line) => /\[cause\]: TypeError/.test(line)),
      'the cause',
    );
    for (const line of others) assert.ok(line.startsWith('  '), line);
  }
});

test('what cannot be printed is no reason to fail', (t) => {
  const hostile = new Proxy(
    {},
    { get: () => assert.fail('looked at'), ownKeys: () => assert.fail('x') },
  );
  const spiteful = { [inspect.custom]: () => assert.fail('looked at') };
  const lines = written(t, (logger) => {
    logger.error('%O', hostile);
    logger.error('%O', spiteful);
  });
  assert.equal(lines.length, 2);
  assert.match(lines[1] ?? '', /something that cannot be printed/);
});
