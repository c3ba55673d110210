/** The shapes of the records that are JSON in a store, for those who can't trust what they read. */

import { Type } from 'typebox';
import { HlcSchema } from '../wire/schemas.ts';

const CountSchema = Type.Integer({ minimum: 0 });
export const HeadSchema = Type.Object({
  position: HlcSchema,
  logLength: CountSchema,
  changesLogged: Type.Optional(CountSchema),
  changesReplaced: Type.Optional(CountSchema),
  catalogVersion: CountSchema,
  staleUpTo: Type.Optional(HlcSchema),
});
export const TableSchema = Type.Object({
  id: Type.Integer({ minimum: 1, maximum: 0xffffffff }),
  schema: Type.String(),
  table: Type.String(),
  newest: HlcSchema,
  cells: CountSchema,
  enteredAt: Type.Optional(HlcSchema),
  dropped: Type.Optional(Type.Literal(true)),
});
export const BoundarySchema = Type.Object({
  schema: Type.String(),
  table: Type.String(),
  hlc: HlcSchema,
  kind: Type.Union([Type.Literal('made'), Type.Literal('dropped'), Type.Literal('renamed')]),
  renamedTo: Type.Optional(Type.String()),
});
/** The name of a log pin stands in its key. */
export const LOG_PIN_NAME = /^[A-Za-z0-9_:.-]{1,128}$/;
export const LogPinSchema = Type.Object({
  position: HlcSchema,
  renewedAtMs: Type.Number({ minimum: 0 }),
});
export const SiteStateSchema = Type.Object({
  authored: Type.Optional(HlcSchema),
  snapshot: Type.Optional(HlcSchema),
  resync: Type.Optional(Type.String()),
});
