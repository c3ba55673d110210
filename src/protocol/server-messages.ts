/**
 * The schemas of what the server sends: messages over a WebSocket, and snapshot chunks over either
 * transport. Types and the tables of `docs/protocol.md` are made from them. Later versions may add
 * fields and messages; clients ignore those that they do not know.
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
const ServerTimeSchema = Type.Integer({
  minimum: 0,
  description: 'The server’s clock, in milliseconds since 1970.',
});
const RequestIdSchema = Type.Optional(
  Type.String({ description: 'That of the message that this answers, unchanged.' }),
);
const ValuesSchema = Type.Array(Type.Unknown());

export const RejectedChangeSchema = Type.Object({
  schema: Type.Optional(Type.String({ description: 'Missing if the hook named no change.' })),
  table: Type.Optional(
    Type.String({ description: 'Missing if the hook named nothing in the batch.' }),
  ),
  column: Type.Optional(Type.String({ description: 'Missing for a delete, and for DDL.' })),
  pk: Type.Optional(Type.Array(Type.Unknown(), { description: 'Missing for DDL.' })),
  code: Type.Optional(
    Type.String({ description: 'The hook’s own code, `REJECTED` or `FOREIGN_AUTHOR`.' }),
  ),
  reason: Type.String(),
  transactionId: Type.Optional(
    Type.String({ description: 'Of the change; missing if the hook named none.' }),
  ),
});

/** A cell that a batch has lost, and what has won there. */
export const ConflictingCellSchema = Type.Object({
  schema: Type.String(),
  table: Type.String({ description: 'As in the change that lost.' }),
  column: Type.String(),
  pk: ValuesSchema,
  hlc: HlcSchema,
  value: Type.Optional(Type.Unknown({ description: 'Missing if it is long.' })),
});
export type WireConflictingCell = Static<typeof ConflictingCellSchema>;

/** A change that has lost. */
export const OvertakenChangeSchema = Type.Object({
  hlc: Type.String({ description: 'Of the change.' }),
  by: Type.String({
    description:
      'Of the newer edit, of the deletion, or of what has dropped or replaced the table.',
  }),
});

/** A change that is stored under another name. */
export const ElsewhereChangeSchema = Type.Object({
  hlc: Type.String({ description: 'Of the change.' }),
  table: Type.Optional(
    Type.String({ description: 'Missing while nobody is told of what is in its table.' }),
  ),
});

export type WireElsewhereChange = Static<typeof ElsewhereChangeSchema>;
export type WireRejectedChange = Static<typeof RejectedChangeSchema>;
export type WireOvertakenChange = Static<typeof OvertakenChangeSchema>;

/** The answer to a batch. */
export const ApplyResultSchema = Type.Object({
  applied: CountSchema,
  skipped: CountSchema,
  conflicts: CountSchema,
  transactions: CountSchema,
  rejected: Type.Optional(Type.Array(RejectedChangeSchema)),
  conflicting: Type.Optional(Type.Array(ConflictingCellSchema)),
  overtaken: Type.Optional(Type.Array(OvertakenChangeSchema)),
  beaten: Type.Optional(Type.Array(OvertakenChangeSchema)),
  standing: Type.Optional(Type.Array(HlcSchema)),
  elsewhere: Type.Optional(Type.Array(ElsewhereChangeSchema)),
});

const ChangeSetsSchema = Type.Array(SentChangeSetSchema);

const tableFields = { schema: Type.String(), table: Type.String() };

/** An apply result on the wire. */
export type WireApplyResult = Static<typeof ApplyResultSchema>;

/** The chunks of a snapshot by `type`, in the order in which they are sent. */
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

/** The server's messages over a WebSocket, by `type`. */
export const SERVER_MESSAGE_SCHEMAS = {
  handshake_ack: Type.Object(
    {
      type: Type.Literal('handshake_ack'),
      serverSiteId: SiteIdSchema,
      connectionId: Type.String(),
      databaseId: Type.String(),
      protocolVersion: Type.Literal(1),
      serverTimeMs: ServerTimeSchema,
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
    {
      type: Type.Literal('changes'),
      changeSets: ChangeSetsSchema,
      hasMore: Type.Boolean({ description: 'Whether another message of this answer follows.' }),
      requestId: RequestIdSchema,
    },
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
    { type: Type.Literal('snapshot_complete'), requestId: RequestIdSchema },
    { description: 'All chunks have been sent.' },
  ),
  error: Type.Object(
    {
      type: Type.Literal('error'),
      code: Type.Unsafe<ErrorCode>(Type.String()),
      message: Type.String(),
      fatal: Type.Boolean({ description: 'Don’t reconnect by yourself.' }),
      retryAfterMs: Type.Optional(Type.Number({ minimum: 0 })),
      serverTimeMs: Type.Optional(ServerTimeSchema),
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
