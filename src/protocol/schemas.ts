/**
 * The schemas of what clients send. Types, validators and the texts of refusals are made from them,
 * for both transports. Unknown fields are ignored. SQL values are `Unknown` here, and checked by
 * `values.ts`.
 */

import { type Static, type TSchema, Type } from 'typebox';
import { HLC_PATTERN } from '../clock/hlc.ts';
import { SITE_ID_PATTERN } from '../clock/site-id.ts';
import {
  CLIENT_NAME_LENGTH_MAX,
  COMPLETED_TABLES_MAX,
  MIGRATION_TYPES,
  type MigrationType,
  NAME_LENGTH_MAX,
  TOKEN_LENGTH_MAX,
} from './constants.ts';

export const HlcSchema = Type.String({ pattern: HLC_PATTERN });
export const SiteIdSchema = Type.String({ pattern: SITE_ID_PATTERN });
const NameSchema = Type.String({ maxLength: NAME_LENGTH_MAX });
const ValuesSchema = Type.Array(Type.Unknown());
const CountSchema = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const ColumnChangeSchema = Type.Object({
  type: Type.Literal('column'),
  schema: NameSchema,
  table: NameSchema,
  pk: ValuesSchema,
  column: NameSchema,
  value: Type.Unknown(),
  hlc: HlcSchema,
  priorValue: Type.Optional(Type.Unknown()),
  priorHlc: Type.Optional(HlcSchema),
});

export const DeleteChangeSchema = Type.Object({
  type: Type.Literal('delete'),
  schema: NameSchema,
  table: NameSchema,
  pk: ValuesSchema,
  hlc: HlcSchema,
  priorRow: Type.Optional(ValuesSchema),
});

export const MigrationSchema = Type.Object({
  type: Type.Union(MIGRATION_TYPES.map((type) => Type.Literal(type))),
  schema: NameSchema,
  table: NameSchema,
  fromTable: Type.Optional(NameSchema),
  ddl: Type.String(),
  hlc: HlcSchema,
  schemaVersion: CountSchema,
});

function changeSetOf<Change extends TSchema, Migration extends TSchema>(
  change: Change,
  migration: Migration,
) {
  return Type.Object({
    siteId: SiteIdSchema,
    transactionId: NameSchema,
    hlc: HlcSchema,
    changes: Type.Array(change),
    schemaMigrations: Type.Optional(Type.Array(migration)),
  });
}

/** A change set whose changes and migrations are not checked yet. */
export const ChangeSetEnvelopeSchema = changeSetOf(Type.Unknown(), Type.Unknown());
export const ChangeSetSchema = changeSetOf(
  Type.Union([ColumnChangeSchema, DeleteChangeSchema]),
  MigrationSchema,
);
/** A change set as the server sends it. */
export const SentChangeSetSchema = Type.Unsafe<WireChangeSet>(
  Type.Object({ ...ChangeSetSchema.properties, schemaMigrations: Type.Array(MigrationSchema) }),
);

/** In a checkpoint: `schema.table`. */
export const CompletedTableSchema = Type.String({ maxLength: 2 * NAME_LENGTH_MAX + 1 });

export const CheckpointSchema = Type.Object({
  snapshotId: Type.String({ minLength: 1, maxLength: NAME_LENGTH_MAX }),
  siteId: SiteIdSchema,
  hlc: HlcSchema,
  lastTableIndex: Type.Number(),
  lastEntryIndex: Type.Number(),
  completedTables: Type.Array(CompletedTableSchema, { maxItems: COMPLETED_TABLES_MAX }),
  entriesProcessed: Type.Number(),
  createdAt: Type.Number(),
});

const TokenSchema = Type.String({ maxLength: TOKEN_LENGTH_MAX });
const RequestIdSchema = Type.Optional(Type.String({ maxLength: NAME_LENGTH_MAX }));

/** What a client says it is. */
export const ClientSoftwareSchema = Type.Object(
  {
    name: Type.String({ maxLength: CLIENT_NAME_LENGTH_MAX }),
    version: Type.Optional(Type.String({ maxLength: CLIENT_NAME_LENGTH_MAX })),
  },
  { description: 'The name and version of the client’s software, for operators to see.' },
);
export type ClientSoftware = Static<typeof ClientSoftwareSchema>;

/**
 * The messages of a client, by `type`. Their change sets and checkpoints are checked separately.
 */
export const CLIENT_MESSAGE_SCHEMAS = {
  handshake: Type.Object(
    {
      type: Type.Literal('handshake'),
      siteId: SiteIdSchema,
      token: Type.Optional(TokenSchema),
      databaseId: Type.Optional(Type.String()),
      protocolVersion: Type.Optional(Type.Number()),
      client: Type.Optional(ClientSoftwareSchema),
    },
    { description: 'Answered `handshake_ack`.' },
  ),
  get_changes: Type.Object(
    {
      type: Type.Literal('get_changes'),
      sinceHLC: Type.Optional(Type.Union([HlcSchema, Type.Null()])),
      requestId: RequestIdSchema,
    },
    { description: 'Answered one or more `changes`; `sinceHLC` may be null.' },
  ),
  apply_changes: Type.Object(
    {
      type: Type.Literal('apply_changes'),
      changes: Type.Array(Type.Unknown()),
      requestId: RequestIdSchema,
    },
    { description: 'Answered `apply_result`.' },
  ),
  get_snapshot: Type.Object(
    { type: Type.Literal('get_snapshot'), requestId: RequestIdSchema },
    { description: 'Answered `snapshot_chunk`…, `snapshot_complete`.' },
  ),
  resume_snapshot: Type.Object(
    {
      type: Type.Literal('resume_snapshot'),
      checkpoint: Type.Unsafe<WireCheckpoint>(Type.Unknown()),
      requestId: RequestIdSchema,
    },
    { description: 'As above.' },
  ),
  authenticate: Type.Object(
    {
      type: Type.Literal('authenticate'),
      token: TokenSchema,
      requestId: RequestIdSchema,
    },
    { description: 'Answered `authenticated`.' },
  ),
  ping: Type.Object({ type: Type.Literal('ping') }, { description: 'Answered `pong`.' }),
} satisfies Record<string, TSchema>;

export type ClientMessageType = keyof typeof CLIENT_MESSAGE_SCHEMAS;

/** A change on the wire: HLCs and site ids as text, values as JSON. */
export type WireColumnChange = Static<typeof ColumnChangeSchema>;
export type WireDeleteChange = Static<typeof DeleteChangeSchema>;
export type WireChange = WireColumnChange | WireDeleteChange;
export type WireMigration = Omit<Static<typeof MigrationSchema>, 'type'> & { type: MigrationType };
export type WireCheckpoint = Static<typeof CheckpointSchema>;
export interface WireChangeSet {
  siteId: string;
  transactionId: string;
  hlc: string;
  changes: WireChange[];
  schemaMigrations: WireMigration[];
}

type ClientMessages = { [T in ClientMessageType]: Static<(typeof CLIENT_MESSAGE_SCHEMAS)[T]> };
export type ClientMessage =
  | Exclude<ClientMessages[ClientMessageType], { type: 'apply_changes' }>
  | { type: 'apply_changes'; changes: WireChangeSet[]; requestId?: string };
