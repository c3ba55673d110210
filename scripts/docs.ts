/**
 * Writes the reference pages and types that are made from code, so that the two can't disagree:
 * `tsx scripts/docs.ts`. With `--check` it only says which differ, and fails.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Histogram } from 'prom-client';
import type { TSchema } from 'typebox';
import { EVENTS, STATES, TRANSITIONS } from '../packages/client/src/connection/states.ts';
import { CONFIG_OPTIONS, type ConfigOption } from '../src/config/options.ts';
import { CHANGES_BUCKETS, Distribution, SECONDS_BUCKETS, Tally } from '../src/metrics/counts.ts';
import { createMetrics } from '../src/metrics/metrics.ts';
import { exposeStore } from '../src/metrics/store-metrics.ts';
import { ERROR_CODES, type ErrorCode, isErrorCode } from '../src/protocol/error-codes.ts';
import { HTTP_STATUSES } from '../src/protocol/http-statuses.ts';
import { CLIENT_MESSAGE_SCHEMAS } from '../src/protocol/schemas.ts';
import { SERVER_MESSAGE_SCHEMAS, SNAPSHOT_CHUNK_SCHEMAS } from '../src/protocol/server-messages.ts';
import { WS_OUTCOMES } from '../src/protocol/ws-outcomes.ts';
import { messageTypes } from './message-types.ts';

interface Column<Row> {
  title: string;
  textOf(row: Row): string;
}

const OPTION_COLUMNS: readonly Column<ConfigOption>[] = [
  { title: 'Option', textOf: ({ path }) => `\`${path}\`` },
  { title: 'Type', textOf: ({ type }) => type },
  { title: 'Default', textOf: ({ initialText }) => initialText },
  { title: 'Environment', textOf: ({ env }) => `\`${env}\`` },
  { title: 'Flag', textOf: ({ flag }) => `\`${flag}\`` },
  { title: 'Meaning', textOf: optionToMeaning },
];

/** A column more is an entry more. */
const ERROR_COLUMNS: readonly Column<ErrorCode>[] = [
  { title: 'Code', textOf: (code) => `\`${code}\`` },
  { title: 'HTTP', textOf: (code) => `${HTTP_STATUSES[code]}` },
  { title: 'Fatal', textOf: (code) => (WS_OUTCOMES[code].fatal ? 'yes' : 'no') },
  { title: 'Closes', textOf: (code) => `${WS_OUTCOMES[code].close ?? 'no'}` },
  { title: 'In the handshake', textOf: (code) => `${WS_OUTCOMES[code].handshakeClose}` },
  { title: 'Meaning', textOf: (code) => ERROR_CODES[code] },
];

interface MetricRow {
  name: string;
  type: string;
  labels: readonly string[];
  help: string;
}

const METRIC_COLUMNS: readonly Column<MetricRow>[] = [
  { title: 'Metric', textOf: ({ name }) => `\`${name}\`` },
  { title: 'Type', textOf: ({ type }) => type },
  { title: 'Labels', textOf: ({ labels }) => labels.map((label) => `\`${label}\``).join(', ') },
  { title: 'Meaning', textOf: ({ help }) => help },
];

interface Watched {
  what: string;
  queries: readonly string[];
  meaning: string;
}

const WATCH_COLUMNS: readonly Column<Watched>[] = [
  { title: 'What', textOf: ({ what }) => what },
  { title: 'Query', textOf: ({ queries }) => queries.map((query) => `\`${query}\``).join(', ') },
  { title: 'It means', textOf: ({ meaning }) => meaning },
];

const WATCHED: readonly Watched[] = [
  {
    what: 'Stores that fail',
    queries: ['increase(sync_errors_total{code=~"STORE_.*"}[5m]) > 0'],
    meaning: 'A full or failing disk, or damaged files. The log has the cause.',
  },
  {
    what: 'PostgreSQL',
    queries: ['sync_store_up == 0', 'sync_store_connections_waiting > 0'],
    meaning: 'It cannot be used, or all connections of a pool are.',
  },
  {
    what: 'Word between coordinators',
    queries: [
      'sync_store_notifications_connected == 0',
      'sync_store_notification_lag_seconds > 1',
      'increase(sync_store_notifications_missed_total[5m]) > 0',
    ],
    meaning: 'What another coordinator stored is pushed up to 5 s later.',
  },
  {
    what: 'Faults',
    queries: [
      'increase(sync_errors_total{code=~"INTERNAL_ERROR|.*_CHANGES_ERROR|SNAPSHOT_ERROR"}[5m]) > 0',
    ],
    meaning: 'Should not happen. The log has the cause.',
  },
  {
    what: 'Hooks that fail',
    queries: ['rate(sync_hook_calls_total{outcome=~"error|timeout|invalid"}[5m]) > 0'],
    meaning: 'Clients are refused because a hook, or what it asks, is down.',
  },
  {
    what: 'Slow acknowledgements',
    queries: ['histogram_quantile(0.99, rate(sync_apply_duration_seconds_bucket[5m]))'],
    meaning:
      'Hooks count in it: compare with `sync_hook_duration_seconds`. If they are quick, it is the disk.',
  },
  {
    what: 'Limits that are reached',
    queries: ['increase(sync_errors_total{code="OVERLOADED"}[5m]) > 0'],
    meaning:
      '`limits.sessions`, `limits.snapshotStreams`, `storage.maxOpenDatabases` or `limits.catalogBytes`.',
  },
  {
    what: 'Near the limits',
    queries: ['sync_sessions', 'sync_snapshot_streams', 'sync_open_stores', 'sync_catalog_bytes'],
    meaning: 'Against those four options.',
  },
  {
    what: 'Slow readers',
    queries: ['sync_queued_bytes', 'rate(sync_sockets_stalled_total[5m])'],
    meaning: 'Memory that waits for clients, and clients that took nothing at all.',
  },
  {
    what: 'Refused credentials',
    queries: ['rate(sync_auth_failures_total[5m])'],
    meaning: 'Clients with old tokens, or somebody who tries many.',
  },
  {
    what: 'Clocks',
    queries: ['increase(sync_errors_total{code="CLOCK_DRIFT"}[1h]) > 0'],
    meaning: 'A device whose clock is ahead, or this server’s is behind.',
  },
  {
    what: 'Logs that are kept for a reader',
    queries: ['sync_log_pin_lag_seconds > 3600', 'increase(sync_log_pins_lapsed_total[1d]) > 0'],
    meaning:
      'The webhook or another reader does not come along, so logs grow; or it did not come back within `sync.logPinMaxAgeMs`, and will miss something.',
  },
  {
    what: 'Devices that were away',
    queries: ['increase(sync_errors_total{code="SNAPSHOT_REQUIRED"}[1d])'],
    meaning: 'Longer than `sync.tombstoneTTL`: each takes a snapshot.',
  },
];

/** A page more is an entry more. */
const PAGES: Readonly<Record<string, () => string>> = {
  'docs/configuration.md': configurationPage,
  'docs/errors.md': errorsPage,
  'docs/metrics.md': metricsPage,
  'packages/client/src/protocol/messages.ts': () => format(messageTypes()),
};

/** Tables within pages that are written by hand, by the name that stands before them there. */
const TABLES: Readonly<Record<string, Readonly<Record<string, () => string>>>> = {
  'docs/protocol.md': {
    'messages of the client': () => messagesTable(CLIENT_MESSAGE_SCHEMAS),
    'messages of the server': () => messagesTable(SERVER_MESSAGE_SCHEMAS),
    'chunks of a snapshot': () => messagesTable(SNAPSHOT_CHUNK_SCHEMAS),
  },
  'docs/client.md': {
    'states of the connection': statesPicture,
  },
};

const NOTICE =
  '<!-- Made by `npm run docs`: change scripts/docs.ts or the source it reads, not this. -->';

function optionToMeaning({ description, type, expected }: ConfigOption): string {
  const isRanged = type === 'integer';
  return isRanged
    ? `${description} From ${expected.replace('an integer from ', '')}.`
    : description;
}

function toTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const toLine = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [
    toLine(columns.map(({ title }) => title)),
    toLine(columns.map(() => '---')),
    ...rows.map((row) => toLine(columns.map((column) => column.textOf(row)))),
  ].join('\n');
}

function configurationPage(): string {
  return `# Configuration

${NOTICE}

Nothing has to be configured: \`npx sync-coordinator\` serves on port 3000 from \`./.data\`. What is set is taken from
these sources, each winning over those after it:

1. \`overrides\` of \`loadConfig()\`, for programs that embed the coordinator
2. flags
3. environment variables; one that is set to nothing counts as not set
4. one configuration file
5. the defaults

\`sync-coordinator check\` (with the same flags and environment) prints every value, where it came from and which hooks
run, and starts nothing. It exits with 1 and all that is wrong where something is. Tokens, and passwords in URLs, are masked.

## The file

\`--config <path>\` names it. Otherwise the first of these in the working directory is read, and no directory above it
is looked at: \`sync-coordinator.config.ts\`, \`.mts\`, \`.js\`, \`.mjs\`, \`.cjs\`, \`.json\`, \`.yaml\`,
\`.yml\`, then \`sync-coordinator.json\`, \`.yaml\`, \`.yml\`, then the key \`sync-coordinator\` of \`package.json\`. A start and
\`check\` name the file that was read, or say that there is none, and warn of files that were perhaps meant: in \`.config\`, in a
directory above, or called almost as one of these. A module that exports nothing is refused, and so is a directory in a file's place. A \`.env\` is
not read; where it sets a variable of ours that the environment lacks, that is said.

\`\`\`ts
// sync-coordinator.config.ts
import { defineConfig } from 'sync-coordinator';

export default defineConfig({
  port: 8080,
  storage: 'leveldb:/var/lib/sync',
  cors: { origin: ['https://app.example.com'] },
  auth: { mode: 'custom' },
  hooks: ['./hooks/jwt.ts', ['@acme/sync-hooks-audit', { table: 'audit' }]],
});
\`\`\`

TypeScript needs no build step and no \`typescript\` package, and nothing is written beside the file. A configuration is
read at once, so its module can't \`await\` at its top level. It is a plain object, and so is each group in it: a promise, a
\`Map\` or an instance is refused. The same as JSON:

\`\`\`json
{ "port": 8080, "storage": "leveldb:/var/lib/sync", "auth": { "mode": "token-whitelist" } }
\`\`\`

And as YAML:

\`\`\`yaml
port: 8080
storage: leveldb:/var/lib/sync
auth:
  mode: token-whitelist
\`\`\`

Two options have a short form: \`storage\` may be the text of \`storage.url\`, and \`hooks\` the list of \`hooks.modules\`.
Paths of modules are relative to the file that names them; \`dataDir\` and \`leveldb:\` paths to the working directory.
A name that is no option is refused, and so is a value out of its range.

## The environment and the flags

\`\`\`bash
SYNC_AUTH_MODE=token-whitelist SYNC_AUTH_TOKENS=token1,token2 npx sync-coordinator --port 8080 --log-level debug
\`\`\`

A start and \`check\` warn of a variable that begins with \`SYNC_\`, or is written almost as one of these, and is none. Those by which Kubernetes tells of a
Service called \`sync\` (\`SYNC_PORT=tcp://10.0.0.1:3000\` and the like) are ignored. A value that another source replaces is not looked at.

Lists are comma-separated; booleans are \`true\`, \`false\`, \`1\` or \`0\`. Tokens are better given in the environment than as a
flag, which other users of the machine can see and a start warns of; better still, in a file of their own
(\`auth.tokensFile\`), as hashes (\`sync-coordinator hash-token < token\`). \`DEBUG\` (\`DEBUG=sync-coordinator:ws,sync-coordinator:*:error\`) decides
what is logged whatever the \`logging\` options say, and adds the stack to a failed start.

## From code

\`loadConfig()\` is synchronous and throws a \`ConfigError\`, whose \`faults\` say for each wrong value who gave it, what it
was and what it may be.

\`\`\`ts
import { createCoordinatorServer, loadConfig } from 'sync-coordinator';

const config = loadConfig({ overrides: { port: 3000, cors: { origin: ['https://myapp.com'] } } });
const server = await createCoordinatorServer({ config });
await server.start();
\`\`\`

## All options

${toTable(OPTION_COLUMNS, CONFIG_OPTIONS)}
`;
}

function errorsPage(): string {
  return `# Errors

${NOTICE}

An error that a client receives has one of these codes. They are added, never renamed. How an error looks on either
transport is in [protocol.md](protocol.md#errors). Code finds them as \`ERROR_CODES\` of the package.

- **HTTP**: the status of the answer. Those with 429 and 503 carry \`Retry-After\`, in seconds.
- **Fatal**: the \`fatal\` of the WebSocket message. A client that is told so should give up until somebody has changed
  something; after all others it may try again.
- **Closes**: the close code, where the error ends the connection whenever it happens.
- **In the handshake**: the close code where a handshake is refused with it, which always ends the connection. (One that
  is not of the right shape is not taken for a handshake: it gets the error only.)

${toTable(ERROR_COLUMNS, Object.keys(ERROR_CODES).filter(isErrorCode))}
`;
}

function metricsPage(): string {
  return `# Metrics

${NOTICE}

\`GET /sync/metrics\` (under \`basePath\`) gives these in the text format of Prometheus. They are of this process since its
start; a scrape configuration is in [operating.md](operating.md#metrics). Whoever reaches the port may read them.

${toTable(METRIC_COLUMNS, metricRows())}

Those of the store are there where the storage tells how it is: PostgreSQL does, LevelDB does not.

Labels come from fixed lists, so their number is bounded; no database, site or user is ever a label.

- \`transport\`: \`http\` or \`websocket\`.
- \`operation\`: what was asked for, named as the WebSocket messages are: \`get_changes\`, \`apply_changes\`, \`get_snapshot\`,
  \`resume_snapshot\`; on a WebSocket also \`handshake\` and \`ping\`.
- \`pool\`: \`write\`, \`read\` or \`snapshot\`; \`state\`: \`idle\` or \`used\`.
- \`code\`: of [errors.md](errors.md).
- \`hook\`: of [hooks.md](hooks.md).
- \`limit\`: the option that was met; what a client then sees is in [operating.md](operating.md#limits).
- \`outcome\`: \`ok\`; \`refused\`, the hook did its work and said no (any throw of \`onAuthenticate\` is a no); \`error\`,
  \`timeout\`, \`invalid\`, it threw, took too long or answered what it may not; \`aborted\`, nobody wanted the answer any more.

A histogram has its name with \`_bucket\`, \`_sum\` and \`_count\`.

## What to watch

${toTable(WATCH_COLUMNS, WATCHED)}
`;
}

function metricRows(): MetricRow[] {
  const { registry, expose } = createMetrics();
  const zero = () => 0;
  const gauges = {
    connections: zero,
    socketsUnauthenticated: zero,
    sessions: zero,
    openStores: zero,
    catalogBytes: zero,
    logLength: zero,
    logChanges: zero,
    logChangesReplaced: zero,
    queuedBytes: zero,
    snapshotStreams: zero,
    heldSites: zero,
    positionAhead: zero,
    logPins: zero,
    logPinAge: zero,
    logPinLag: zero,
  };
  const logins = () => ({ attempts: 0, failures: new Tally<ErrorCode>() });
  expose(gauges, {
    changes: { received: 0, applied: 0, skipped: 0, conflicting: 0, rejected: 0 },
    applySeconds: new Distribution(SECONDS_BUCKETS),
    batchSizes: new Distribution(CHANGES_BUCKETS),
    querySeconds: new Distribution(SECONDS_BUCKETS),
    maintenance: { changesCompacted: 0, tombstonesExpired: 0, logPinsLapsed: 0 },
    snapshots: { begun: 0, completed: 0 },
    logins: { websocket: logins(), http: logins() },
    sharedSites: zero,
  });
  exposeStore(registry, {
    isUp: async () => true,
    figures: () => ({
      pools: [],
      notifications: { connected: true, reconnects: 0, missed: 0 },
      transactions: { retries: 0, resolved: 0 },
    }),
  });
  return registry.getMetricsAsArray().map((metric) => {
    const labels: unknown = Reflect.get(metric, 'labelNames');
    // A class of ours goes by what it is a kind of.
    const type = metric instanceof Histogram ? 'histogram' : metric.constructor.name.toLowerCase();
    const names = Array.isArray(labels) ? labels.map(String) : [];
    return { name: metric.name, type, labels: names, help: metric.help };
  });
}

/** @param code TypeScript */
function format(code: string): string {
  const biome = fileURLToPath(new URL('../node_modules/.bin/biome', import.meta.url));
  return execFileSync(biome, ['format', '--stdin-file-path=types.ts'], {
    input: code,
    encoding: 'utf8',
  });
}

function readIfThere(url: URL): string | undefined {
  try {
    return readFileSync(url, 'utf8');
  } catch {
    return undefined;
  }
}

type Properties = Readonly<Record<string, TSchema>>;

interface Shape {
  properties?: Properties;
  required?: readonly string[];
}

/** `name?`, `name: 1`, or of a list of objects `name`: `{a, b?}` each. */
function fieldToText(name: string, field: TSchema, isOptional: boolean): string {
  const literal = 'const' in field ? `: ${field.const}` : '';
  const own = `\`${name}${isOptional ? '?' : ''}${literal}\``;
  // A list of change sets needs no more words here.
  if (name === 'changeSets' || !('items' in field)) return own;
  const { properties = {}, required = [] }: Shape = Object(field.items);
  const members = Object.keys(properties).map((key) => (required.includes(key) ? key : `${key}?`));
  return members.length === 0 ? own : `${own}: \`{${members.join(', ')}}\` each`;
}

function fieldsToText({ properties = {}, required = [] }: Shape): string {
  return Object.entries(properties)
    .filter(([name]) => name !== 'type')
    .map(([name, field]) => fieldToText(name, field, !required.includes(name)))
    .join(', ');
}

function messagesTable(schemas: Readonly<Record<string, TSchema>>): string {
  return toTable<[string, TSchema]>(
    [
      { title: '`type`', textOf: ([type]) => `\`${type}\`` },
      { title: 'Fields', textOf: ([, schema]) => fieldsToText(schema) },
      { title: '', textOf: ([, schema]) => String(Reflect.get(schema, 'description') ?? '') },
    ],
    Object.entries(schemas),
  );
}

/** As text for Mermaid, which GitHub and others draw. */
function statesPicture(): string {
  const events = new Map<string, string[]>();
  for (const state of STATES) {
    for (const event of EVENTS) {
      const next = TRANSITIONS[state][event];
      // It would be drawn from everywhere.
      if (next === state || event === 'stop') continue;
      const arrow = `${state} --> ${next}`;
      events.set(arrow, [...(events.get(arrow) ?? []), event]);
    }
  }
  const lines = [...events].map(([arrow, names]) => `  ${arrow}: ${names.join(', ')}`);
  return ['```mermaid', 'stateDiagram-v2', '  [*] --> stopped', ...lines, '```'].join('\n');
}

/** @param page as it is; each table in it stands between two marks */
function withTables(page: string, tables: Readonly<Record<string, () => string>>): string {
  let text = page;
  for (const [name, makeTable] of Object.entries(tables)) {
    const opening = `<!-- Made by \`npm run docs\`: ${name} -->`;
    const [before, rest] = text.split(opening);
    const end = rest?.indexOf(CLOSING) ?? -1;
    if (before === undefined || rest === undefined || end < 0) throw new Error(`no ${opening}`);
    text = `${before}${opening}\n\n${makeTable()}\n\n${rest.slice(end)}`;
  }
  return text;
}

const CLOSING = '<!-- made -->';

const isCheck = process.argv.includes('--check');
const pages = Object.entries(PAGES);
for (const [name, tables] of Object.entries(TABLES)) {
  pages.push([
    name,
    () => withTables(readIfThere(new URL(`../${name}`, import.meta.url)) ?? '', tables),
  ]);
}
for (const [name, makePage] of pages) {
  const url = new URL(`../${name}`, import.meta.url);
  const page = makePage();
  if (!isCheck) {
    writeFileSync(url, page);
  } else if (readIfThere(url) !== page) {
    process.stderr.write(`${name} is not what its source says: run npm run docs\n`);
    process.exitCode = 1;
  }
}
