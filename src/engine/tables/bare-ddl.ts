/** Makes DDL of which the effect is known, and the text is not, for those who are asked whether it may be told. */

import type { HlcText } from '../../clock/hlc.ts';
import type { WireMigration } from '../../protocol/schemas.ts';

export function bareDrop(schema: string, table: string, hlc: HlcText): WireMigration {
  const ddl = `DROP TABLE ${quoted(table)}`;
  return { type: 'drop_table', schema, table, ddl, hlc, schemaVersion: 1 };
}

export function bareRename(
  schema: string,
  fromTable: string,
  table: string,
  hlc: HlcText,
): WireMigration {
  const ddl = `ALTER TABLE ${quoted(fromTable)} RENAME TO ${quoted(table)}`;
  return { type: 'rename_table', schema, table, fromTable, ddl, hlc, schemaVersion: 1 };
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
