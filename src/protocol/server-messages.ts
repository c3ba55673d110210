/**
 * What the server sends: the messages of the WebSocket, and the chunks of a snapshot over either
 * transport. Types and the tables of `docs/protocol.md` come from here. More fields and more
 * messages may come; a client ignores those that it doesn't know.
 */

import { type Static, type TSchema, Type } from 'typebox';
import type { ErrorCode } from './error-codes.ts';
import {
  HlcSchema,
  MigrationSchema,
  SentChangeSetSchema,
  SiteIdSchema,
  type WireMigration,
} from './schemas.ts';

const CountSchema = Type.Integer({ minimum: 0 });
const TimeSchema = Type.Number({ description: 'Milliseconds since 1970.' });
const RequestIdSchema = Type.Optional(
  Type.String({ description: 'Of the message that this answers, as it came.' }),
);
const ValuesSchema = Type.Array(Type.Unknown());

export const RejectedChangeSchema = Type.Object({
  table: Type.Optional(
    Type.String({ description: 'Missing where a hook speaks of nothing in the batch.' }),
  ),
  column: Type.Optional(Type.String({ description: 'Not of a delete, nor of DDL.' })),
  pk: Type.Optional(Type.Array(Type.Unknown(), { description: 'Not of DDL.' })),
  code: Type.Optional(
    Type.String({ description: 'As the hook says; else `REJECTED` or `FOREIGN_AUTHOR`.' }),
  ),
  reason: Type.String(),
});

/** The answer to a batch. */
export const ApplyResultSchema = Type.Object({
  applied: CountSchema,
  skipped: CountSchema,
  conflicts: CountSchema,
  transactions: CountSchema,
  rejected: Type.Optional(Type.Array(RejectedChangeSchema)),
});

const ChangeSetsSchema = Type.Array(SentChangeSetSchema);

const tableFields = { schema: Type.String(), table: Type.String() };

/** As it travels. */
export type WireApplyResult = Static<typeof ApplyResultSchema>;

/** By `type`, in the order in which they come. */
export const SNAPSHOT_CHUNK_SCHEMAS = {
  header: Type.Object(
    {
      type: Type.Literal('header'),
      siteId: SiteIdSchema,
      hlc: HlcSchema,
      snapshotFormat: Type.Literal(1),
      tableCount: CountSchema,
      migrationCount: CountSchema,
      snapshotId: Type.String(),
    },
    { description: 'One.' },
  ),
  'schema-migration': Type.Object(
    {
      type: Type.Literal('schema-migration'),
      migration: Type.Unsafe<WireMigration>(MigrationSchema),
    },
    { description: 'One for each migration, in ascending order of HLC.' },
  ),
  'table-start': Type.Object(
    {
      type: Type.Literal('table-start'),
      ...tableFields,
      estimatedEntries: CountSchema,
    },
    { description: 'One for each table with cells.' },
  ),
  'column-versions': Type.Object(
    {
      type: Type.Literal('column-versions'),
      ...tableFields,
      entries: Type.Array(
        Type.Object({
          column: Type.String(),
          hlc: HlcSchema,
          value: Type.Unknown(),
          pk: ValuesSchema,
        }),
      ),
    },
    { description: 'As needed, after their `table-start`.' },
  ),
  'table-end': Type.Object(
    {
      type: Type.Literal('table-end'),
      ...tableFields,
      entriesWritten: CountSchema,
    },
    { description: 'One for each `table-start`.' },
  ),
  tombstone: Type.Object(
    {
      type: Type.Literal('tombstone'),
      ...tableFields,
      entries: Type.Array(
        Type.Object({
          pk: ValuesSchema,
          hlc: HlcSchema,
          createdAt: TimeSchema,
          priorRow: Type.Optional(ValuesSchema),
        }),
      ),
    },
    { description: 'As needed, after all tables; those of a table together.' },
  ),
  footer: Type.Object(
    {
      type: Type.Literal('footer'),
      snapshotId: Type.String(),
      totalTables: CountSchema,
      totalEntries: CountSchema,
      totalMigrations: CountSchema,
    },
    { description: 'One.' },
  ),
} satisfies Record<string, TSchema>;

export type SnapshotChunkType = keyof typeof SNAPSHOT_CHUNK_SCHEMAS;
export type SnapshotChunks = {
  [T in SnapshotChunkType]: Static<(typeof SNAPSHOT_CHUNK_SCHEMAS)[T]>;
};
export type SnapshotChunk = SnapshotChunks[SnapshotChunkType];

/** What the server sends over a WebSocket, by `type`. */
export const SERVER_MESSAGE_SCHEMAS = {
  handshake_ack: Type.Object(
    {
      type: Type.Literal('handshake_ack'),
      serverSiteId: SiteIdSchema,
      connectionId: Type.String(),
      databaseId: Type.String(),
      protocolVersion: Type.Literal(1),
      expiresAt: Type.Optional(TimeSchema),
    },
    { description: 'See [credentials](#credentials-that-run-out).' },
  ),
  authenticated: Type.Object(
    {
      type: Type.Literal('authenticated'),
      expiresAt: Type.Optional(TimeSchema),
      requestId: RequestIdSchema,
    },
    { description: 'As above.' },
  ),
  changes: Type.Object(
    { type: Type.Literal('changes'), changeSets: ChangeSetsSchema },
    { description: 'See [fetching](#fetching).' },
  ),
  push_changes: Type.Object(
    { type: Type.Literal('push_changes'), changeSets: ChangeSetsSchema },
    { description: 'What was written meanwhile: see [pushes](#pushes).' },
  ),
  apply_result: Type.Object(
    {
      type: Type.Literal('apply_result'),
      ...ApplyResultSchema.properties,
      requestId: RequestIdSchema,
    },
    { description: 'See [merging](#merging).' },
  ),
  request_changes: Type.Object(
    {
      type: Type.Literal('request_changes'),
      siteId: SiteIdSchema,
      sinceHLC: Type.Optional(HlcSchema),
    },
    { description: 'See [draining](#draining).' },
  ),
  snapshot_chunk: Type.Object(
    {
      type: Type.Literal('snapshot_chunk'),
      chunk: Type.Unsafe<SnapshotChunk>(Type.Union(Object.values(SNAPSHOT_CHUNK_SCHEMAS))),
    },
    { description: 'See [snapshots](#snapshots).' },
  ),
  snapshot_complete: Type.Object(
    { type: Type.Literal('snapshot_complete') },
    { description: 'All chunks have been sent.' },
  ),
  error: Type.Object(
    {
      type: Type.Literal('error'),
      code: Type.Unsafe<ErrorCode>(Type.String()),
      message: Type.String(),
      fatal: Type.Boolean({ description: 'Don’t reconnect by yourself.' }),
      retryAfterMs: Type.Optional(Type.Number({ minimum: 0 })),
      requestId: RequestIdSchema,
    },
    { description: 'See [errors](#errors).' },
  ),
  pong: Type.Object({ type: Type.Literal('pong') }, { description: 'The answer to a `ping`.' }),
} satisfies Record<string, TSchema>;

export type ServerMessageType = keyof typeof SERVER_MESSAGE_SCHEMAS;
export type ServerMessages = {
  [T in ServerMessageType]: Static<(typeof SERVER_MESSAGE_SCHEMAS)[T]>;
};
export type ServerMessage = ServerMessages[ServerMessageType];
