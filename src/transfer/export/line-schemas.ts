/** The schemas of an export's lines; `docs/export-format.md` has their meaning. */

import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import {
  HeadSchema,
  HeldRowSchema,
  HlcSchema,
  LoggedSchema,
  NameSchema,
  SiteStateSchema,
  SlotSchema,
  TableIdSchema,
  TableSchema,
} from '../../engine/records/record-schemas.ts';
import { SiteIdSchema } from '../../protocol/schemas.ts';

const PkSchema = Type.Array(Type.Unknown());
const OptionalPkSchema = Type.Optional(PkSchema);
const OptionalPriorRowSchema = Type.Optional(Type.Array(Type.Unknown()));

/** See `record-tables.ts`. */
const TABLES_PATTERN = '^([1-9][0-9]*([*][1-9][0-9]*)?(,[1-9][0-9]*([*][1-9][0-9]*)?)*)?$';

const meta = <N extends string, S extends TSchema>(name: N, value: S) =>
  Type.Object({ type: Type.Literal('meta'), name: Type.Literal(name), value });

const LINE_SCHEMAS = {
  count: Type.Object({
    type: Type.Literal('count'),
    table: TableIdSchema,
    cells: Type.Integer({ minimum: 0 }),
  }),
  ddl: Type.Object({ type: Type.Literal('ddl'), position: HlcSchema }),
  deletion: Type.Object({
    type: Type.Literal('deletion'),
    table: TableIdSchema,
    pk: PkSchema,
    hlc: HlcSchema,
    position: HlcSchema,
    priorRow: OptionalPriorRowSchema,
    livesAgain: Type.Optional(Type.Literal(true)),
  }),
  floor: Type.Object({ type: Type.Literal('floor'), hlc: HlcSchema, site: SiteIdSchema }),
  migration: Type.Object({ type: Type.Literal('migration'), migration: SlotSchema }),
  name: Type.Object({ type: Type.Literal('name'), name: NameSchema }),
  transaction: Type.Object({
    type: Type.Literal('transaction'),
    tables: Type.String({ pattern: TABLES_PATTERN }),
    to: Type.Optional(SiteIdSchema),
    changeSet: LoggedSchema,
  }),
  held: Type.Object({ type: Type.Literal('held'), table: TableIdSchema, held: HeldRowSchema }),
  meta: Type.Union([
    meta('head', HeadSchema),
    meta('horizon', HlcSchema),
    meta('replaced', HlcSchema),
    meta('site', SiteIdSchema),
  ]),
  row: Type.Object({
    type: Type.Literal('row'),
    table: TableIdSchema,
    pk: PkSchema,
    deletion: Type.Optional(
      Type.Object({
        hlc: HlcSchema,
        position: Type.Optional(HlcSchema),
        priorRow: OptionalPriorRowSchema,
        pk: OptionalPkSchema,
      }),
    ),
    cells: Type.Array(
      Type.Object({
        column: Type.String(),
        hlc: HlcSchema,
        value: Type.Unknown(),
        pk: OptionalPkSchema,
      }),
    ),
  }),
  site: Type.Object({ type: Type.Literal('site'), site: SiteIdSchema, state: SiteStateSchema }),
  table: Type.Object({ type: Type.Literal('table'), table: TableSchema }),
};

type Lines = { [T in keyof typeof LINE_SCHEMAS]: Static<(typeof LINE_SCHEMAS)[T]> };
/** A line between the first and the last one of an export. */
export type ExportLine = Lines[keyof Lines];
export type LineOf<T extends keyof Lines> = Lines[T];

const LineSchema = Type.Union(Object.values(LINE_SCHEMAS));
const validator = Compile(LineSchema);

export function isExportLine(value: unknown): value is ExportLine {
  return validator.Check(value);
}
