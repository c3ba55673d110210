/** The pages name what there is, and nothing that there isn't. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { CONFIG_OPTIONS, OPTION_GROUPS, OPTIONS_BY_PATH } from '../../src/config/options.ts';
import { HOOK_KINDS, HOOK_NAMES } from '../../src/hooks/kinds.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { MIGRATION_TYPES } from '../../src/protocol/constants.ts';
import { ERROR_CODES, type ErrorCode } from '../../src/protocol/error-codes.ts';
import { HTTP_STATUSES } from '../../src/protocol/http-statuses.ts';
import { CLIENT_MESSAGE_SCHEMAS } from '../../src/protocol/schemas.ts';
import { WS_OUTCOMES } from '../../src/protocol/ws-outcomes.ts';
import { startServer } from '../support/server.ts';
import { TELLING_STORAGE } from '../support/telling-storage.ts';
import { PAGES, type Page, proseOf, ROOT, readPage } from './pages.ts';

const prose = PAGES.map(proseOf).join('\n');

function rowOf(page: Page, name: string): string[] {
  const row = page.text.split('\n').find((line) => line.startsWith(`| \`${name}\` |`));
  assert.ok(row !== undefined, `${page.name} has no row for ${name}`);
  return row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, ''));
}

/** As the places that show Markdown make them. */
function anchorsOf({ text }: Page): Set<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

test('every link to a file leads to one, and to a heading of it', () => {
  for (const page of PAGES) {
    for (const [, target = ''] of page.text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const name = file === '' ? page.name : join(dirname(page.name), file);
      assert.ok(existsSync(join(ROOT, name)), `${page.name}: ${target}`);
      if (anchor === undefined) continue;
      assert.ok(anchorsOf(readPage(name)).has(anchor), `${page.name}: ${target}`);
    }
  }
});

test('every page is linked from the README', () => {
  const { text } = readPage('README.md');
  for (const { name } of PAGES.slice(1)) assert.ok(text.includes(`](${name})`), name);
});

async function metricNames(t: Parameters<typeof startServer>[0]): Promise<string[]> {
  const { service } = await startServer(t, { config: { storage: TELLING_STORAGE } });
  return service.metrics.registry.getMetricsAsArray().map(({ name }) => name);
}

test('every metric is in metrics.md, and the pages name no other', async (t) => {
  const names = await metricNames(t);
  assert.ok(names.length > createMetrics().registry.getMetricsAsArray().length, 'gauges too');
  const page = readPage('docs/metrics.md');
  for (const name of names) rowOf(page, name);
  const known = new Set(names.flatMap((name) => [name, `${name}_bucket`]));
  // The schema of our tables in PostgreSQL is no metric.
  known.add('sync_coordinator');
  for (const { name, text } of PAGES) {
    for (const [metric] of text.matchAll(/\bsync_[a-z_]+\b/g)) {
      // Modules have their own.
      if (/^sync_hook_(webhook_|rate_limit_|$)/.test(metric)) continue;
      assert.ok(known.has(metric), `${name}: ${metric}`);
    }
  }
});

test('every error code is in errors.md, with its status and close codes', () => {
  const page = readPage('docs/errors.md');
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const [, status, fatal, close, inHandshake, meaning] = rowOf(page, code);
    const outcome = WS_OUTCOMES[code];
    assert.deepEqual(
      [status, fatal, close, inHandshake, meaning],
      [
        String(HTTP_STATUSES[code]),
        outcome.fatal ? 'yes' : 'no',
        String(outcome.close ?? 'no'),
        String(outcome.handshakeClose),
        ERROR_CODES[code],
      ],
      code,
    );
  }
});

test('every hook is in hooks.md, with its kind', () => {
  const { text } = readPage('docs/hooks.md');
  for (const hook of HOOK_NAMES) {
    assert.ok(text.includes(`\n| \`${hook}(`), hook);
    assert.ok(text.includes(`\n| \`${hook}\` | ${HOOK_KINDS[hook]} |`), hook);
  }
});

test('every option is in configuration.md, and the pages name no other', () => {
  const page = readPage('docs/configuration.md');
  for (const { path } of CONFIG_OPTIONS) rowOf(page, path);
  const option = new RegExp(`\`((?:${OPTION_GROUPS.join('|')})\\.[A-Za-z]+)\``, 'g');
  for (const [, path = ''] of prose.matchAll(option)) {
    assert.ok(path.endsWith('.md') || OPTIONS_BY_PATH.has(path), path);
  }
  const variables = new Set(CONFIG_OPTIONS.map(({ env }) => env));
  for (const { name, text } of PAGES) {
    for (const [variable] of text.matchAll(/\bSYNC_[A-Z_]+\b/g)) {
      assert.ok(variables.has(variable), `${name}: ${variable}`);
    }
  }
});

test('every message of a client and every kind of migration is in protocol.md', () => {
  const page = readPage('docs/protocol.md');
  for (const type of Object.keys(CLIENT_MESSAGE_SCHEMAS)) rowOf(page, type);
  for (const type of MIGRATION_TYPES) assert.ok(page.text.includes(`\`${type}\``), type);
});

/** Each entry of the page says what keeps it and what catches its failing; both must be there. */
function checkEntries(name: string, letter: string): void {
  const { text } = readPage(name);
  const sources = new Map<string, string>();
  const sourceOf = (file: string) => {
    if (!sources.has(file)) sources.set(file, readPage(file).text);
    return sources.get(file) ?? '';
  };
  const kept = [...text.matchAll(/^- Kept by `([^`]+)`: (.+)$/gm)];
  const caught = [...text.matchAll(/^- Caught by `([^`]+)`: "(.+)"$/gm)];
  for (const [, file = '', names = ''] of kept) {
    for (const [, symbol = ''] of names.matchAll(/`([^`]+)`/g)) {
      assert.match(sourceOf(file), new RegExp(`(?<![\\w#])${symbol}\\b`), `${file}: ${symbol}`);
    }
  }
  for (const [, file = '', test = ''] of caught) {
    assert.ok(sourceOf(file).includes(test), `${file}: ${test}`);
  }
  const lines = text.split('\n').filter((line) => /^- (Kept|Caught) by/.test(line));
  assert.equal(lines.length, kept.length + caught.length, 'each line is of the right form');
  const entries = text.split(/^(?=##+ )/m).filter((part) => part.startsWith(`### ${letter}`));
  assert.ok(entries.length > 0);
  for (const entry of entries) {
    const [title = ''] = entry.split('\n', 1);
    assert.match(entry, /^- Kept by/m, title);
    assert.match(entry, /^- Caught by/m, title);
  }
  const numbers = entries.map((entry) => Number(/^### .(\d+)\. /.exec(entry)?.[1]));
  // A number is a name, so it stays when an entry that belongs further up comes later.
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    numbers.map((_, i) => i + 1),
    'each number is given once, and none is left out',
  );
}

test('what invariants.md names is there: functions and tests', () => {
  checkEntries('docs/invariants.md', 'I');
});

test('what security.md names is there: functions and tests', () => {
  checkEntries('docs/security.md', 'T');
});
