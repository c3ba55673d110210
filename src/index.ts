/** The package's public API. */

/** For the options of hook modules, which need no dependency of their own for it. */
export { type Static, Type } from 'typebox';
export type { CoordinatorPluginOptions } from '../plugins/coordinator.ts';
export { default as coordinatorPlugin } from '../plugins/coordinator.ts';
export type { Hlc, HlcText } from './clock/hlc.ts';
export { decodeHlc, encodeHlc } from './clock/hlc.ts';
export type { SiteId } from './clock/site-id.ts';
export { siteIdToText, textToSiteId } from './clock/site-id.ts';
export { type LoadConfigOptions, loadConfig } from './config/resolve-config.ts';
export {
  type CoordinatorConfig,
  type CoordinatorConfigInput,
  defineConfig,
} from './config/schema.ts';
export type { World } from './engine/world.ts';
export { ConfigError, type ConfigFault } from './errors/config-error.ts';
export { toPrintable } from './errors/printable.ts';
export { SyncError } from './errors/sync-error.ts';
export { addressToSource } from './hooks/client-source.ts';
export type { HookContext } from './hooks/context.ts';
export type {
  ConnectedClient,
  CoordinatorAccess,
  RowWrite,
  WriteResult,
} from './hooks/coordinator-access.ts';
export { type DdlAction, ddlToActions } from './hooks/ddl/actions.ts';
export type { DdlTable } from './hooks/ddl/scan.ts';
export {
  defineHooks,
  type HookDefinition,
  type HookFactory,
  type HookModule,
} from './hooks/define-hooks.ts';
export type { CodeEntry, CodeHooks, CodeModule } from './hooks/loading/code-hooks.ts';
export type { Logger } from './logging/logger.ts';
export { ERROR_CODES, type ErrorCode } from './protocol/error-codes.ts';

import './hooks/builtin/entries.ts';

export type { HookMetrics } from './hooks/hook-metrics.ts';
export { HookLoadError } from './hooks/load-error.ts';
export type { HookEntry, HookModuleOptions, PlacedHooks } from './hooks/loading/hook-entry.ts';
export type {
  RegisterRoutes,
  RoutesOptions,
  RouteTools,
  StatusLines,
} from './hooks/module-extras.ts';
export {
  type RowName,
  rowIdentity,
  type Spelling,
  sameRow,
  spellingIn,
  spellingOf,
} from './hooks/names/spelling.ts';
export { TableMap } from './hooks/names/table-list.ts';
export { createToken, type Token } from './hooks/provided.ts';
export type {
  BatchReader,
  CoordinatorReader,
  LogPin,
  LogPinOptions,
  StoredRow,
  TableName,
} from './hooks/reader.ts';
export { foldName, foldSchema, sameName } from './hooks/same-name.ts';
export type {
  AppliedCall,
  ApplyCall,
  AuthContext,
  ChangeOutcome,
  ClientIdentity,
  CoordinatorHooks,
  HookCall,
  MigrationSummary,
  SyncOperation,
  ValidationResult,
} from './hooks/types.ts';
export { hideTables } from './hooks/verdicts/hide-tables.ts';
export {
  type ChangeVerdict,
  type JudgeOptions,
  judgeChanges,
  type MigrationVerdict,
  type Refusal,
} from './hooks/verdicts/judge-changes.ts';
export { MIGRATION_TYPES, type MigrationType } from './protocol/constants.ts';
export type { ClientSoftware, WireChangeSet } from './protocol/schemas.ts';
export {
  type ApplyResult,
  type Change,
  type ChangeSet,
  type ColumnChange,
  type ConflictingCell,
  type ElsewhereChange,
  encodeChangeSet,
  type OvertakenChange,
  type RejectedChange,
  type RowDeletion,
  type SchemaMigration,
} from './protocol/types.ts';
export { encodeValue, type SqlValue } from './protocol/values.ts';
export {
  type CoordinatorDescription,
  type CoordinatorServer,
  type CoordinatorServerOptions,
  createCoordinatorServer,
} from './server.ts';
export type { CoordinatorService, Status } from './service/coordinator-service.ts';
export type { StoreStatus } from './service/databases/store-watch.ts';
export {
  openStorage,
  type StorageConfig,
  type StorageModuleOptions,
} from './storage/by-address/open-storage.ts';
export { createStorage, type StorageParts } from './storage/create-storage.ts';
export { createStore, type StoreParts } from './storage/create-store.ts';
export {
  databaseIdToDirectoryName,
  directoryNameToDatabaseId,
} from './storage/database-directory.ts';
export { isDatabaseId } from './storage/database-id.ts';
export { ensureFormat } from './storage/format.ts';
export type {
  AbsentDatabase,
  CommitListener,
  KVEntry,
  KVRange,
  KVReader,
  KVStore,
  KVTransaction,
  KVView,
  Storage,
  StorageFigures,
  StorageHealth,
  StorageNotifications,
  StoragePool,
} from './storage/kv-store.ts';
export type { KVChange } from './storage/ordered-map.ts';
export { bytesPerRead } from './storage/read-size.ts';
export { UNFINISHED_KEY } from './storage/unfinished.ts';
export { createWriteQueue, storeClosed, type WriteQueue } from './storage/write-queue.ts';
