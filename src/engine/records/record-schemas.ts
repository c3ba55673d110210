/**
 * Schemas of the records that a store holds as JSON, for checking data from outside (verify,
 * import).
 */

import { Type } from 'typebox';
import {
  HlcSchema as AnyHlcSchema,
  ChangeSetSchema,
  MigrationSchema,
  SiteIdSchema,
} from '../../protocol/schemas.ts';
import { CLOCK_HLC_MAX, isDatedAfter, isOfClock } from './position-clock.ts';

/** The server refuses what is dated far ahead of its clock, so a store has no HLC of no clock. */
export const HlcSchema = Type.Refine(AnyHlcSchema, isOfClock);
/** The JSON of a transaction in the log. */
export const LoggedSchema = Type.Refine(
  ChangeSetSchema,
  (set) => !isDatedAfter({ schemaMigrations: [], ...set }, CLOCK_HLC_MAX),
);

const CountSchema = Type.Integer({ minimum: 0 });
export const TableIdSchema = Type.Integer({ minimum: 1, maximum: 0xffffffff });
export const HeadSchema = Type.Object({
  position: HlcSchema,
  logLength: CountSchema,
  changesLogged: CountSchema,
  changesReplaced: CountSchema,
  catalogVersion: CountSchema,
  nextTable: TableIdSchema,
  endedAt: HlcSchema,
  forgets: CountSchema,
  longestRow: Type.Optional(CountSchema),
  heldBytes: Type.Optional(CountSchema),
  heldFloor: Type.Optional(HlcSchema),
  listedFloors: Type.Optional(CountSchema),
  unlistedFloor: Type.Optional(HlcSchema),
  lates: Type.Optional(CountSchema),
  idled: Type.Optional(CountSchema),
});
export const TableSchema = Type.Object({
  id: TableIdSchema,
  schema: Type.String(),
  table: Type.Optional(Type.String()),
  floor: HlcSchema,
  made: Type.Optional(HlcSchema),
  since: HlcSchema,
  into: Type.Optional(TableIdSchema),
  changed: HlcSchema,
  unsettled: Type.Optional(Type.Literal(true)),
});
/** 0 is none. */
const LeadSchema = Type.Integer({ minimum: 0, maximum: 0xffffffff });
export const NameSchema = Type.Object({
  schema: Type.String(),
  table: Type.String(),
  id: LeadSchema,
  past: Type.Optional(Type.Array(Type.Tuple([HlcSchema, LeadSchema]), { minItems: 1 })),
});
export const SlotSchema = Type.Object({
  ...MigrationSchema.properties,
  hlc: HlcSchema,
  at: HlcSchema,
  newest: Type.Optional(HlcSchema),
  aside: Type.Optional(Type.Literal(true)),
  undeclared: Type.Optional(Type.Literal(true)),
  superseded: Type.Optional(Type.Literal(true)),
});
/** See `held-rows.ts`. */
export const HeldRowSchema = Type.Object({
  pk: Type.Array(Type.Unknown()),
  sites: Type.Array(
    Type.Object({
      site: SiteIdSchema,
      row: Type.Optional(Type.Object({ hlc: HlcSchema, at: Type.Optional(HlcSchema) })),
      cells: Type.Array(
        Type.Object({ column: Type.String(), hlc: HlcSchema, at: Type.Optional(HlcSchema) }),
      ),
    }),
  ),
});
/** See `held-floors.ts`. */
export const HeldFloorSchema = Type.Object({
  hlc: HlcSchema,
  isIdle: Type.Optional(Type.Literal(true)),
  lates: Type.Optional(CountSchema),
});
/** The name of a log pin, which is in its key. */
export const LOG_PIN_NAME = /^[A-Za-z0-9_:.-]{1,128}$/;
export const LogPinSchema = Type.Object({
  position: HlcSchema,
  renewedAtMs: Type.Number({ minimum: 0 }),
});
export const SiteStateSchema = Type.Object({
  authored: Type.Optional(HlcSchema),
  snapshot: Type.Optional(HlcSchema),
  resync: Type.Optional(Type.String()),
  heldBytes: Type.Optional(CountSchema),
  floor: Type.Optional(HeldFloorSchema),
});
