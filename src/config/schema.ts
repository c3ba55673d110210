/**
 * The options, once: their types, defaults, limits, environment variables, flags,
 * `--help` and `docs/configuration.md` all come from this schema.
 *
 * A leaf carries what TypeBox knows (`default`, `minimum`, …) and what `OptionNotes`
 * adds. Names in the environment and on the command line are derived from the path
 * (`limits.messageBytes` → `SYNC_LIMITS_MESSAGE_BYTES`, `--limits-message-bytes`)
 * unless the leaf names its own.
 */

import { type Static, Type } from 'typebox';
import type { HookDefinition } from '../hooks/define-hooks.ts';
import type { CheckedEntries, HookEntry } from '../hooks/loading/hook-entry.ts';
import { LOG_LEVELS } from '../logging/logger.ts';

/** What a leaf says beyond its type. */
export interface OptionNotes {
  description: string;
  /** Environment variable, where it is not the derived one. */
  env?: string;
  /** Flag, where it is not the derived one. */
  flag?: string;
  /** What a value may be, where the type can't tell it to a person. */
  expected?: string;
  /** The default in words, where it depends on another option. */
  defaultText?: string;
  /** Never shown: not in errors, not by `check`. */
  secret?: boolean;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const DAY_MS = 24 * 60 * 60 * 1000;
const YEAR_MS = 365 * DAY_MS;

function text(initial: string | undefined, notes: OptionNotes & { pattern?: string }) {
  return Type.String({ ...(initial === undefined ? {} : { default: initial }), ...notes });
}

function flagged(initial: boolean, description: string) {
  return Type.Boolean({ default: initial, description });
}

function integer(
  initial: number,
  [minimum, maximum]: readonly [number, number],
  description: string,
) {
  return Type.Integer({ default: initial, minimum, maximum, description });
}

function group<Properties extends Parameters<typeof Type.Object>[0]>(properties: Properties) {
  return Type.Object(properties, { additionalProperties: false });
}

const bytes = (initial: number, description: string) =>
  integer(initial, [1, 512 * MIB - 1], `${description}, in bytes.`);
const memory = (initial: number, description: string) =>
  integer(initial, [1, 1024 * 1024 * MIB], `${description}, in bytes.`);
const milliseconds = (initial: number, description: string) =>
  integer(initial, [1, DAY_MS], `${description}, in milliseconds.`);

const HookModuleSchema = Type.Union([
  Type.String({ minLength: 1 }),
  // In a configuration that is code, what `defineHooks` gave.
  Type.Unsafe<HookDefinition>(
    Type.Object({ name: Type.String({ minLength: 1 }), setup: Type.Unknown() }),
  ),
]);

/** At least one: with none the module would never be asked, which can only be a mistake. */
const Names = Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }));

/** See `PlacedHooks`. */
export const PlacedHooksSchema = group({
  module: HookModuleSchema,
  options: Type.Optional(Type.Unknown()),
  databases: Names,
  tables: Names,
  timeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: DAY_MS })),
  enforce: Type.Optional(Type.Enum(['pre', 'post'] as const)),
  from: Type.Optional(Type.String({ minLength: 1 })),
});

export const HookEntrySchema = Type.Union([
  HookModuleSchema,
  Type.Tuple([HookModuleSchema, Type.Unknown()]),
  PlacedHooksSchema,
]);

/** The configuration as the coordinator uses it: whole, checked, without shorthands. */
export const ConfigSchema = group({
  host: text('0.0.0.0', {
    description: 'The address to listen on.',
    pattern: '^\\S+$',
    expected: 'a host name or an IP address',
  }),
  port: integer(3000, [0, 65535], 'The TCP port to listen on; 0 takes a free one.'),
  basePath: text('/sync', {
    description: 'What all routes begin with; `/` (or an empty text) puts them at the root.',
    pattern: '^(?:(?:/[A-Za-z0-9._~-]+)*|/)$',
    expected: 'a path that begins with "/" and does not end with one, or "/" for the root',
  }),
  trustProxy: Type.Union(
    [
      Type.Boolean(),
      Type.String({ minLength: 1 }),
      Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
    ],
    {
      default: false,
      description:
        'Whose `X-Forwarded-For` is believed: `false` nobody’s, `true` anybody’s (only where the proxy is the sole way in), or the addresses of the proxies, as addresses, ranges such as `10.0.0.0/8`, or `loopback`, `linklocal` and `uniquelocal`. The address that it gives is the one in hooks, limits and logs.',
      expected: 'true, false, an address, a range such as "10.0.0.0/8", or a list of them',
    },
  ),
  dataDir: text('./.data', {
    description: 'The directory of the embedded store, relative to the working directory.',
    pattern: '\\S',
    expected: 'a path',
  }),
  storage: group({
    url: text(undefined, {
      description:
        'The store: `leveldb:<directory>`, `memory:`, `postgres://user@host/database`, or a module (a package name or a path) that makes one.',
      env: 'SYNC_STORAGE',
      flag: '--storage',
      pattern: '^\\S',
      expected: 'a store URL such as "leveldb:./.data" or "postgres://user@host/db", or a module',
      defaultText: '`leveldb:` and `dataDir`',
    }),
    from: Type.Optional(
      text(undefined, {
        description: 'The directory from which a package that `storage.url` names is looked for.',
        expected: 'a directory',
        defaultText: 'that of the file that names it, else the working directory',
      }),
    ),
    durability: Type.Enum(['fsync', 'os'] as const, {
      default: 'fsync',
      description:
        'When a change is acknowledged: `fsync` after it is on the disk, `os` after the operating system has it (faster; a power cut may lose what was acknowledged).',
    }),
    maxOpenDatabases: integer(
      1000,
      [1, 1_000_000],
      'The number of databases that are open at once.',
    ),
    maxDatabases: integer(
      1_000_000,
      [1, 1_000_000_000],
      'The number of databases that there may be; a write that would make one more is refused.',
    ),
    idleCloseMs: milliseconds(60_000, 'The time after which an unused database is closed'),
    maintenanceMs: milliseconds(
      60_000,
      'How often an open database is tidied up: old deletions forgotten, its log shortened',
    ),
  }),
  cors: group({
    origin: Type.Union(
      [
        Type.Boolean(),
        Type.String({ minLength: 1 }),
        Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }),
      ],
      {
        default: true,
        description:
          'Which origins a browser may call from, over HTTP and WebSocket: `true` for all, `false` for none, or one or several origins, as browsers send them (`https://app.example.com`), with `https://*.example.com` for all subdomains, and `null` for pages that have none. The server’s own origin, and clients that send none, are let in.',
        expected: 'true, false, an origin such as "https://app.example.com" or a list of origins',
      },
    ),
    credentials: flagged(true, 'Whether browsers may send credentials.'),
  }),
  compression: group({
    http: flagged(
      true,
      'Whether changes, snapshots and long answers to batches over HTTP are compressed for clients that accept it (`Accept-Encoding`): `zstd` from Node.js 22.15 on, `br`, `gzip`.',
    ),
    websocket: flagged(
      false,
      'Whether answers to `get_changes` and snapshots are compressed over WebSocket for clients that offer it (`permessage-deflate`), as browsers do. They then compress all that they send.',
    ),
  }),
  auth: group({
    mode: Type.Enum(['none', 'token-whitelist', 'custom'] as const, {
      default: 'none',
      description:
        'Who may connect: `none` everybody (for development), `token-whitelist` who has one of `auth.tokens` or `auth.tokensFile`, `custom` whom the hooks accept.',
    }),
    tokens: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: 'The tokens that `token-whitelist` accepts, or `sha256:` and the hash of one.',
      expected: 'a list of tokens',
      secret: true,
    }),
    tokensFile: Type.Optional(
      text(undefined, {
        description:
          'A file of further tokens or hashes, one a line; lines that begin with `#` are comments. It is read anew at SIGHUP. The path is relative to the file that names it, else to the working directory.',
        pattern: '\\S',
        expected: 'a path',
        defaultText: 'none',
      }),
    ),
  }),
  sync: group({
    tombstoneTTL: integer(
      30 * DAY_MS,
      [1, 100 * YEAR_MS],
      'How long a deletion is remembered, in milliseconds. A client that was away longer takes a snapshot.',
    ),
    logPinMaxAgeMs: integer(
      DAY_MS,
      [1, 100 * YEAR_MS],
      'How long a log stays pinned for a reader, such as the webhook, that does not come back, in milliseconds.',
    ),
    batchSize: integer(
      1000,
      [1, 1_000_000],
      'About how many changes one page of `GET /changes` holds; transactions stay whole.',
    ),
    allowResurrection: flagged(true, 'Whether a later write may bring a deleted row back.'),
    foreignAuthors: Type.Enum(['known', 'accept', 'refuse'] as const, {
      default: 'known',
      description:
        'What becomes of changes that another site than the sender has dated: `known` passes over those that would change nothing, as devices push back what they have received, and rejects the others; `accept` takes them all, for devices that carry what others wrote; `refuse` rejects them all.',
    }),
    maxClockDriftMs: integer(
      60_000,
      [0, YEAR_MS],
      'How far ahead of the server a change may be dated, in milliseconds.',
    ),
  }),
  hooks: group({
    modules: Type.Array(HookEntrySchema, {
      default: [],
      description:
        'The hook modules in their order: package names or paths, `[module, options]`, or `{ module, options, databases, tables, timeoutMs, enforce, from }`. Paths are relative to the file that names them, and packages looked for from there, else from the working directory.',
      env: 'SYNC_HOOKS',
      flag: '--hooks',
      expected: 'a list of modules, [module, options] pairs or { module, … } objects',
    }),
    timeoutMs: milliseconds(5000, 'The longest that one call of a hook may take'),
    notifyCallsMax: integer(
      10_000,
      [1, 10_000_000],
      'How many calls of hooks that are only told of something may run at once; beyond it new batches wait, for databases that have their share of them.',
    ),
    reauthorizeMs: milliseconds(
      60_000,
      'How long a session is pushed changes before `onAuthorize` is asked again whether it may read',
    ),
    onReject: Type.Enum(['keep', 'revert'] as const, {
      default: 'keep',
      description:
        'What becomes of a change that a hook rejects, on the device that made it: `keep` leaves it there, `revert` sends it what is stored instead, and nobody else anything, so that it takes the change back.',
    }),
  }),
  limits: group({
    messageBytes: bytes(32 * MIB, 'The largest message or request body'),
    changesPerBatch: integer(
      100_000,
      [1, 10_000_000],
      'The most changes that a client may send at once; a change set counts for one at least.',
    ),
    valuesPerMessage: integer(
      4_000_000,
      [1, 100_000_000],
      'The most values in one message or body, such as those of its changes and those in JSON values. A change has about ten.',
    ),
    valueBytes: integer(
      4 * MIB,
      [256 * KIB, 512 * MIB - 1],
      'The largest SQL value or DDL text in a message or body, in bytes of its JSON with its name.',
    ),
    rowBytes: integer(
      8 * MIB,
      [1, 512 * MIB - 1],
      'The most that one row may hold, in characters of its JSON. It is read and written as a whole.',
    ),
    rowBytesPerBatch: memory(
      128 * MIB,
      'The most that the stored rows which one batch changes may hold together; about five times as much is in memory while they are changed, of one such batch at a time',
    ),
    columnsPerRow: integer(10_000, [1, 1_000_000], 'The most columns of one row.'),
    tablesPerDatabase: integer(
      10_000,
      [1, 1_000_000],
      'The most tables of one database. Ten times as many names may have been used for them.',
    ),
    ddlBytesPerDatabase: bytes(
      16 * MIB,
      'The most DDL that is kept of one database, with its names (in UTF-8) and 512 bytes for each statement',
    ),
    catalogBytes: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1024 * 1024 * MIB,
        description:
          'What the tables, names and DDL of all open databases may take of the memory, in bytes: about 2 KiB and its DDL for each table. Beyond it databases that nobody uses are closed, and no more are opened. One that takes more is opened as the only one.',
        defaultText: 'a quarter of what the heap of Node.js may be',
      }),
    ),
    heldBytesPerSite: bytes(
      4 * MIB,
      'The most that is kept of what one device holds of rows since its changes were rejected and taken back (`hooks.onReject: revert`, or moved by a hook): about 100 bytes and the key for a row, and 100 for a column. A device that asks for changes makes room; another one has to start over from a snapshot',
    ),
    heldBytesPerDatabase: bytes(
      64 * MIB,
      'The same for all devices of one database: beyond it those with most start over, also such as ask',
    ),
    heldSitesPerDatabase: integer(
      1000,
      [0, 1_000_000],
      'The most devices of one database that are told one by one what others write late, since they had more changes rejected than is kept. Of more, those whose rejections are oldest start over from a snapshot where something older comes.',
    ),
    bytesInFlight: memory(
      512 * MIB,
      'What messages and bodies of all clients may take of the memory from their arrival until they are answered; beyond it the next ones wait unread. Counted as twelve times their size while a batch is stored. Clients that hold little may have a quarter more, or 64 MiB, so that they need not wait for those that hold much. Bodies for open routes of hook modules have a sixteenth of it besides',
    ),
    bytesInFlightPerClient: memory(
      256 * MIB,
      'The same for the messages and bodies of one user, or of one address where there are no users',
    ),
    answerBytes: memory(
      256 * MIB,
      'What answers, pushed pages and snapshots that are read or not yet taken may take of the memory, for all clients; beyond it the next ones wait. Clients that hold little may have a quarter more, or 64 MiB',
    ),
    answerBytesPerClient: memory(
      64 * MIB,
      'The same for one user, or for one address where there are no users; and for the pages that are pushed to several clients of one database',
    ),
    messagesInFlight: integer(
      64,
      [1, 100_000],
      'How many messages of one client may wait or be under way before its socket is read no further.',
    ),
    pipelinedRequests: integer(
      8,
      [0, 1000],
      'How many HTTP requests of one connection may wait for the answer to the one before; beyond it the connection is closed.',
    ),
    messagesPerSecond: integer(
      10_000,
      [1, 100_000_000],
      'How many messages of one socket are taken in a second; the rest waits unread.',
    ),
    queuedBytesPerSocket: bytes(
      8 * MIB,
      'What may wait unsent on one socket before it is read no further',
    ),
    pageBytes: bytes(4 * MIB, 'The size at which an answer is cut into pages'),
    stalledMs: milliseconds(30_000, 'How long a socket may take nothing before it is closed'),
    pingMs: milliseconds(
      30_000,
      'How long a WebSocket may be silent before it is pinged, and a TCP connection before the system asks whether its peer is there',
    ),
    pongTimeoutMs: milliseconds(
      10_000,
      'How long a WebSocket that was pinged may go on saying nothing before it is closed; any byte that arrives will do',
    ),
    connections: integer(
      30_000,
      [1, 1_000_000],
      'The number of TCP connections; beyond it one without a request makes room, or else a new one is closed at once.',
    ),
    sessions: integer(20_000, [1, 1_000_000], 'The number of WebSocket sessions.'),
    snapshotStreams: integer(64, [1, 100_000], 'The number of snapshots that are sent at once.'),
    snapshotBytesPerSecond: integer(
      4 * KIB,
      [1, 512 * MIB],
      'The pace, in bytes a second, at which a snapshot has to be taken, over half of `limits.stalledMs`, while others wait for its place.',
    ),
    sharePerUser: integer(
      75,
      [1, 100],
      'The most that one user may have of `limits.sessions`, `limits.snapshotStreams`, `storage.maxOpenDatabases` and `limits.catalogBytes`, in percent (when all are taken, whoever has most gives way to others); and of the memory, as much as `limits.answerBytes`, for what hooks read. An address counts as one user for clients of whom no user is known, and for `limits.connections` and `limits.unauthenticatedSockets`.',
    ),
    unauthenticatedSockets: integer(
      1000,
      [1, 1_000_000],
      'The number of WebSockets that have no handshake yet; beyond it a silent one is closed, of the address that has most.',
    ),
    handshakeBytes: bytes(64 * KIB, 'The most that a WebSocket may send before its handshake'),
    handshakeTimeoutMs: milliseconds(
      10_000,
      'How long a new socket may take to say who it is, and a request to send its headers',
    ),
    requestTimeoutMs: milliseconds(
      120_000,
      'How long an HTTP request, or a message that has begun, may take to arrive whole',
    ),
    failedLoginsPerMinute: integer(
      300,
      [1, 1_000_000],
      'How many logins may fail in a minute from one address (of IPv6: from one /64); beyond it clients whose credentials have not been let in from there are told to come back later. The same credentials, and one user with newer ones for its sessions, may fail a tenth of that.',
    ),
    shutdownMs: milliseconds(10_000, 'How long a stop waits for what is running'),
  }),
  logging: group({
    level: Type.Enum(LOG_LEVELS, {
      default: 'info',
      description: 'What is logged to stderr; each level holds those after it.',
      env: 'SYNC_LOG_LEVEL',
      flag: '--log-level',
    }),
    namespaces: text('', {
      description:
        'More namespaces, as a `debug` filter (`sync-coordinator:ws,quereus:sync:*`). `DEBUG` adds to them; where it names some of ours it wins over both logging options.',
      env: 'SYNC_LOG_NAMESPACES',
      flag: '--log-namespaces',
      expected: 'a filter of debug namespaces',
    }),
  }),
});

export type CoordinatorConfig = Static<typeof ConfigSchema>;

type DeepPartial<T> = T extends readonly (infer Item)[]
  ? readonly Item[]
  : T extends object
    ? { [Key in keyof T]?: DeepPartial<T[Key]> }
    : T;

interface HooksInput extends Partial<Omit<CoordinatorConfig['hooks'], 'modules'>> {
  modules?: readonly HookEntry[];
}

/** The configuration as people write it: any part of it, with the shorthands. */
export interface CoordinatorConfigInput
  extends DeepPartial<Omit<CoordinatorConfig, 'storage' | 'hooks'>> {
  /** A store URL or a module; or all options of the storage. */
  storage?: string | DeepPartial<CoordinatorConfig['storage']>;
  /** The hook modules in their order; or all options of the hooks. */
  hooks?: readonly HookEntry[] | HooksInput;
}

/** The hooks as they are written, each entry's options checked against those of its module. */
type CheckedHooks<Hooks> = Hooks extends readonly unknown[]
  ? CheckedEntries<Hooks>
  : Hooks extends { modules: infer Modules extends readonly unknown[] }
    ? { modules: CheckedEntries<Modules> }
    : unknown;

/** Types a configuration file: gives back what it gets. */
export function defineConfig<const Hooks extends CoordinatorConfigInput['hooks']>(
  input: Omit<CoordinatorConfigInput, 'hooks'> & { hooks?: Hooks & CheckedHooks<Hooks> },
): CoordinatorConfigInput {
  return input;
}
