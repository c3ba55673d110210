/**
 * What client and server send each other, in JSON form: HLCs and site ids as text, SQL values as JSON
 * (`encodeValue`, `decodeValue`). Later servers may send fields and messages that are not here.
 *
 * Made by `npm run docs` from the schemas of the server: change those, not this.
 */

export interface ColumnChange {
  type: 'column';
  schema: string;
  table: string;
  pk: unknown[];
  column: string;
  value: unknown;
  hlc: string;
  priorValue?: unknown;
  priorHlc?: string;
}

export interface RowDeletion {
  type: 'delete';
  schema: string;
  table: string;
  pk: unknown[];
  hlc: string;
  priorRow?: unknown[];
}

export interface Migration {
  type:
    | 'create_table'
    | 'drop_table'
    | 'rename_table'
    | 'add_column'
    | 'drop_column'
    | 'alter_column'
    | 'add_index'
    | 'drop_index';
  schema: string;
  table: string;
  fromTable?: string;
  ddl: string;
  hlc: string;
  schemaVersion: number;
}

export interface ChangeSet {
  siteId: string;
  transactionId: string;
  hlc: string;
  changes: (ColumnChange | RowDeletion)[];
  schemaMigrations?: Migration[];
}

export interface SentChangeSet {
  siteId: string;
  transactionId: string;
  hlc: string;
  changes: (ColumnChange | RowDeletion)[];
  schemaMigrations: Migration[];
}

export interface Checkpoint {
  snapshotId: string;
  siteId: string;
  hlc: string;
  lastTableIndex: number;
  lastEntryIndex: number;
  completedTables: string[];
  entriesProcessed: number;
  createdAt: number;
}

export interface ConflictingCell {
  schema: string;
  /** As in the change that lost. */
  table: string;
  column: string;
  pk: unknown[];
  hlc: string;
  /** Missing if it is long. */
  value?: unknown;
}

export interface OvertakenChange {
  /** Of the change. */
  hlc: string;
  /** Of the newer edit, of the deletion, or of what has dropped or replaced the table. */
  by: string;
}

export interface ElsewhereChange {
  /** Of the change. */
  hlc: string;
  /** Missing while nobody is told of what is in its table. */
  table?: string;
}

export interface RejectedChange {
  /** Missing if the hook named no change. */
  schema?: string;
  /** Missing if the hook named nothing in the batch. */
  table?: string;
  /** Missing for a delete, and for DDL. */
  column?: string;
  /** Missing for DDL. */
  pk?: unknown[];
  /** The hook’s own code, `REJECTED` or `FOREIGN_AUTHOR`. */
  code?: string;
  reason: string;
  /** Of the change; missing if the hook named none. */
  transactionId?: string;
}

export interface ApplyResult {
  applied: number;
  skipped: number;
  conflicts: number;
  transactions: number;
  rejected?: RejectedChange[];
  conflicting?: ConflictingCell[];
  overtaken?: OvertakenChange[];
  beaten?: OvertakenChange[];
  standing?: string[];
  elsewhere?: ElsewhereChange[];
}

export interface HeaderChunk {
  type: 'header';
  siteId: string;
  hlc: string;
  snapshotFormat: 1;
  tableCount: number;
  migrationCount: number;
  snapshotId: string;
}

export interface SchemaMigrationChunk {
  type: 'schema-migration';
  migration: Migration;
}

export interface TableStartChunk {
  type: 'table-start';
  schema: string;
  table: string;
  estimatedEntries: number;
}

export interface ColumnVersionsChunk {
  type: 'column-versions';
  schema: string;
  table: string;
  entries: {
    column: string;
    hlc: string;
    value: unknown;
    pk: unknown[];
  }[];
}

export interface TableEndChunk {
  type: 'table-end';
  schema: string;
  table: string;
  entriesWritten: number;
}

export interface TombstoneChunk {
  type: 'tombstone';
  schema: string;
  table: string;
  entries: {
    pk: unknown[];
    hlc: string;
    /** Milliseconds since 1970. */
    createdAt: number;
    priorRow?: unknown[];
  }[];
}

export interface FooterChunk {
  type: 'footer';
  snapshotId: string;
  totalTables: number;
  totalEntries: number;
  totalMigrations: number;
}

export interface HandshakeAckMessage {
  type: 'handshake_ack';
  serverSiteId: string;
  connectionId: string;
  databaseId: string;
  protocolVersion: 1;
  /** The server’s clock, in milliseconds since 1970. */
  serverTimeMs: number;
  /** Milliseconds since 1970. */
  expiresAt?: number;
}

export interface AuthenticatedMessage {
  type: 'authenticated';
  /** Milliseconds since 1970. */
  expiresAt?: number;
  /** That of the message that this answers, unchanged. */
  requestId?: string;
}

export interface ChangesMessage {
  type: 'changes';
  changeSets: SentChangeSet[];
  /** Whether another message of this answer follows. */
  hasMore: boolean;
  /** That of the message that this answers, unchanged. */
  requestId?: string;
}

export interface PushChangesMessage {
  type: 'push_changes';
  changeSets: SentChangeSet[];
}

export interface ApplyResultMessage {
  type: 'apply_result';
  applied: number;
  skipped: number;
  conflicts: number;
  transactions: number;
  rejected?: RejectedChange[];
  conflicting?: ConflictingCell[];
  overtaken?: OvertakenChange[];
  beaten?: OvertakenChange[];
  standing?: string[];
  elsewhere?: ElsewhereChange[];
  /** That of the message that this answers, unchanged. */
  requestId?: string;
}

export interface RequestChangesMessage {
  type: 'request_changes';
  siteId: string;
  sinceHLC?: string;
}

export interface SnapshotChunkMessage {
  type: 'snapshot_chunk';
  chunk:
    | HeaderChunk
    | SchemaMigrationChunk
    | TableStartChunk
    | ColumnVersionsChunk
    | TableEndChunk
    | TombstoneChunk
    | FooterChunk;
}

export interface SnapshotCompleteMessage {
  type: 'snapshot_complete';
  /** That of the message that this answers, unchanged. */
  requestId?: string;
}

export interface ErrorMessage {
  type: 'error';
  code: string;
  message: string;
  /** Don’t reconnect by yourself. */
  fatal: boolean;
  retryAfterMs?: number;
  /** The server’s clock, in milliseconds since 1970. */
  serverTimeMs?: number;
  /** That of the message that this answers, unchanged. */
  requestId?: string;
}

export interface PongMessage {
  type: 'pong';
}

export interface HandshakeMessage {
  type: 'handshake';
  siteId: string;
  token?: string;
  databaseId?: string;
  protocolVersion?: number;
  /** The name and version of the client’s software, for operators to see. */
  client?: {
    name: string;
    version?: string;
  };
}

export interface GetChangesMessage {
  type: 'get_changes';
  sinceHLC?: string | null;
  requestId?: string;
}

export interface ApplyChangesMessage {
  type: 'apply_changes';
  changes: ChangeSet[];
  requestId?: string;
}

export interface GetSnapshotMessage {
  type: 'get_snapshot';
  requestId?: string;
}

export interface ResumeSnapshotMessage {
  type: 'resume_snapshot';
  checkpoint: Checkpoint;
  requestId?: string;
}

export interface AuthenticateMessage {
  type: 'authenticate';
  token: string;
  requestId?: string;
}

export interface PingMessage {
  type: 'ping';
}

export type Change = ColumnChange | RowDeletion;

export type MigrationType = Migration['type'];

export type SnapshotChunk =
  | HeaderChunk
  | SchemaMigrationChunk
  | TableStartChunk
  | ColumnVersionsChunk
  | TableEndChunk
  | TombstoneChunk
  | FooterChunk;

export type ServerMessage =
  | HandshakeAckMessage
  | AuthenticatedMessage
  | ChangesMessage
  | PushChangesMessage
  | ApplyResultMessage
  | RequestChangesMessage
  | SnapshotChunkMessage
  | SnapshotCompleteMessage
  | ErrorMessage
  | PongMessage;

export type ClientMessage =
  | HandshakeMessage
  | GetChangesMessage
  | ApplyChangesMessage
  | GetSnapshotMessage
  | ResumeSnapshotMessage
  | AuthenticateMessage
  | PingMessage;
