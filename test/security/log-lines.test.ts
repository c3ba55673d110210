/** What clients cause as often as they like is logged within a bound: told from the code itself, of every line. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isCallExpression,
  isElementAccessExpression,
  isPropertyAccessExpression,
  type Node,
} from 'tsc/unstable/ast';
import { nodesOf, readSources } from '../support/syntax.ts';

/** The lines that are not a `BoundedLog`'s, by their files, and why no client can have them written all the time. */
const REASONS: Record<string, Record<string, string>> = {
  'src/engine/maintenance/maintenance.ts': {
    'the log holds %d changes that no stored row accounts for': 'once a compaction',
  },
  'src/hooks/builtin/token-whitelist.ts': {
    '%s': 'of the tokens file, at a start or reload',
    'there is no token%s': 'at a start or reload',
  },
  'src/hooks/builtin/webhook-pump.ts': {
    'database %s: its log may have been compacted': 'once a pin that lapsed',
    'the log of database %s cannot be taken up': 'waits after each',
    'database %s: the log was cut before it was taken up': 'once a cut of the log',
    'no delivery (%s); again in %d ms': 'waits after each',
  },
  'src/hooks/builtin/webhook.ts': {
    'database %s is still pinned': 'once a database, at a start',
    'the queue cannot be opened': 'at a start',
  },
  'src/hooks/context.ts': { 'closing failed': 'at a stop or reload' },
  'src/hooks/chain/hook-host.ts': { '%s': 'of a reload that failed' },
  'src/hooks/loading/loader.ts': { '%s': 'at a start or reload' },
  'src/hooks/refusal-lines.ts': { '%s: %s %s: %s': 'what a BoundedLog writes' },
  'src/server.ts': { 'sessions could not be asked about': 'once a reload' },
  'src/service/admission/authenticator.ts': { '%s passes requests on': 'said once' },
  'src/service/databases/database-upkeep.ts': {
    'database %s: its log pin %s has lapsed': 'once a pin, which hooks make',
  },
  'src/service/databases/log-pins.ts': {
    'database %s: its log pin %s was not there any more': 'once a pin, which hooks make',
    'database %s: its log pins cannot be renewed': 'by a timer',
  },
  'src/service/databases/open-files.ts': { '': 'at a start' },
  'src/service/admission/refusal-log.ts': { '%s': 'what a BoundedLog writes' },
  'src/service/delivery/resyncs.ts': {
    'more than %d calls of resync': 'once a call of the operator’s code',
  },
  'src/service/delivery/shared-sites.ts': { 'logger.warn(text': 'what a BoundedLog writes' },
  'src/service/databases/store-watch.ts': {
    'the store can be used again': 'by a timer, where it has changed',
    'the store cannot be used': 'by a timer, where it has changed',
  },
  'src/sessions/listen.ts': { 'another address of this host': 'at a start' },
  'src/storage/leveldb/data-directory.ts': {
    'every user of this machine may read': 'at a start',
    'text, this.#location': 'once, when the directory is lost',
  },
};

/** That writes a line which is shown by default. */
function isLine(node: Node): boolean {
  if (!isCallExpression(node)) return false;
  const { expression } = node;
  if (isElementAccessExpression(expression))
    return /log(?:ger)?$/i.test(expression.expression.getText());
  if (!isPropertyAccessExpression(expression)) return false;
  const isLoud = /^(?:warn|error)$/.test(expression.name.getText());
  return isLoud && /(?:log(?:ger)?|console)$/i.test(expression.expression.getText());
}

function reasonOf(path: string, call: string): string | undefined {
  const reasons = Object.entries(REASONS[path] ?? {});
  const [, reason] =
    reasons.find(([text]) => (text === '%s' ? call.includes("('%s', ") : call.includes(text))) ??
    [];
  return reason;
}

test('no line of the log but those of a BoundedLog is a client’s to cause as often as it likes', (t) => {
  const { modules } = readSources(t);
  const unexplained: string[] = [];
  let lines = 0;
  for (const { path, source } of modules) {
    if (path === 'src/logging/bounded-log.ts') continue;
    for (const node of nodesOf(source)) {
      if (!isLine(node)) continue;
      lines++;
      const call = node.getText(source);
      if (reasonOf(path, call) === undefined) unexplained.push(`${path}: ${call}`);
    }
  }
  assert.deepEqual(unexplained, []);
  assert.ok(lines > 20, `${lines} were found`);
});
