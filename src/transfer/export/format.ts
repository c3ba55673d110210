/**
 * The first and the last line of an export, and the error of an invalid one.
 * `docs/export-format.md` describes the whole format:
 *
 *     {"type":"header","format":"sync-coordinator-export","formatVersion":3,…}
 *     {"type":"…",…}      one record of the database a line, in the order of the store's keys
 *     {"type":"end","lines":…,"sha256":"…"}    of all lines before it
 */

import { type Static, Type } from 'typebox';
import { HlcSchema, SiteIdSchema } from '../../protocol/schemas.ts';

export const EXPORT_FORMAT = 'sync-coordinator-export';
/** Raised when older programs would misread new exports. */
export const EXPORT_FORMAT_VERSION = 3;

/** The beginning of every export. */
export const HEADER_START = `{"type":"header","format":"${EXPORT_FORMAT}",`;

/** The header of any version. */
export const AnyHeaderSchema = Type.Object({
  type: Type.Literal('header'),
  format: Type.Literal(EXPORT_FORMAT),
  formatVersion: Type.Integer({ minimum: 1 }),
});

export const HeaderSchema = Type.Object({
  type: Type.Literal('header'),
  format: Type.Literal(EXPORT_FORMAT),
  formatVersion: Type.Literal(EXPORT_FORMAT_VERSION),
  database: Type.String(),
  siteId: SiteIdSchema,
  position: HlcSchema,
  exportedAt: Type.String(),
  tables: Type.Array(
    Type.Object({ id: Type.Integer(), schema: Type.String(), table: Type.Optional(Type.String()) }),
  ),
});
export type ExportHeader = Static<typeof HeaderSchema>;

const CountSchema = Type.Integer({ minimum: 0 });
export const EndSchema = Type.Object({
  type: Type.Literal('end'),
  lines: CountSchema,
  transactions: CountSchema,
  rows: CountSchema,
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});
export type ExportEnd = Static<typeof EndSchema>;

/** A file that can't be imported. The message says what is wrong, and where. */
export class ExportFileError extends Error {
  /** Whether it is a damaged export; otherwise it is no export, or one of another version. */
  readonly isDamaged: boolean;

  constructor(message: string, { isDamaged, cause }: { isDamaged: boolean; cause?: unknown }) {
    super(message, { cause });
    this.isDamaged = isDamaged;
  }
}

export const damaged = (what: string, cause?: unknown): ExportFileError =>
  new ExportFileError(what, { isDamaged: true, cause });
