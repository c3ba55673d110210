/**
 * Names and bounds of the protocol that client and server share. This file imports nothing, so that
 * who needs a bound does not load the schemas.
 */

export const PROTOCOL_VERSION = 1;

/** Longest name of a schema, table or column, and longest transaction id, in UTF-16 units. */
export const NAME_LENGTH_MAX = 1024;

/** Longest token, in UTF-16 units. */
export const TOKEN_LENGTH_MAX = 64 * 1024;

/** Longest name and longest version of a client's software, in UTF-16 units. */
export const CLIENT_NAME_LENGTH_MAX = 128;

/** Most members of a primary key. */
export const PK_MEMBERS_MAX = 64;
/** Most characters of a primary key: those of its texts and names, and one for each other value. */
export const PK_LENGTH_MAX = 64 * 1024;

/** Most tables that a checkpoint names. */
export const COMPLETED_TABLES_MAX = 100_000;

export const MIGRATION_TYPES = [
  'create_table',
  'drop_table',
  'rename_table',
  'add_column',
  'drop_column',
  'alter_column',
  'add_index',
  'drop_index',
] as const;

export type MigrationType = (typeof MIGRATION_TYPES)[number];
