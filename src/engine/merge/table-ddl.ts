/**
 * Merges a migration into the catalog. It reads and writes only the catalog, never rows. Devices
 * that do not know of each other make, drop and rename tables in any order, and make the same table
 * again each time that they start:
 *
 *   - DDL takes effect only if a device that begins from nothing ends up, after all DDL that is
 *     sent, with exactly the live tables. Other DDL is set aside: it has no effect, and is not sent.
 *   - DDL that repeats what its slot holds, and changes nothing, is neither logged nor sent.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import { READS_A_CHANGE } from '../records/pace.ts';
import {
  migrationSlot,
  newestOf,
  type Slot,
  supersededSlot,
  toSlot,
} from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';
import type { CatalogDraft } from '../tables/catalog-draft.ts';
import { type Ddl, effectOf, isOfUndeclared, leadNewName } from '../tables/ddl-effect.ts';
import { fitOf, isNeededBeside } from '../tables/ddl-replay.ts';
import { isDoneAwayWith } from '../tables/late-ddl.ts';
import type { Loss } from './lost-cells.ts';

/** The result of a migration. */
export interface MergedMigration {
  outcome: 'applied' | 'skipped';
  /** The migrations to be logged and sent, in this order. */
  sent: readonly WireMigration[];
  /** Whether a drop or rename has taken effect. */
  endsTables: boolean;
  /** The number of logged migrations that it has replaced. */
  replaced: number;
  /** The number of statements and names that were read for it, or written. */
  read: number;
  /** If it is skipped, and what made it so is known. */
  loss?: Pick<Loss, 'standing' | 'isVoid'>;
}

const SKIPPED: MergedMigration = {
  outcome: 'skipped',
  sent: [],
  endsTables: false,
  replaced: 0,
  read: 0,
};

export function mergeMigration(
  draft: CatalogDraft,
  migration: WireMigration,
  position: HlcText,
): MergedMigration {
  const { type, hlc } = migration;
  const known = draft.slot(migrationSlot(migration));
  if (known !== undefined && compareHlc(hlc, newestOf(known)) <= 0) {
    return { ...SKIPPED, loss: { standing: standingBefore(draft, migration, known) } };
  }
  // A rename that is done away with is set aside: its new name has to lead somewhere.
  if (type !== 'rename_table' && isDoneAwayWith(draft, migration)) {
    return { ...SKIPPED, loss: { isVoid: true } };
  }
  if (known === undefined) refuseCrowding(draft, migration);

  const trial = draft.trial();
  // This migration takes its slot, but the earlier one is still needed by receivers.
  const isSuperseded = known !== undefined && isNeededBeside(draft, known, migration);
  if (isSuperseded) trial.setSlot({ ...known, newest: undefined, superseded: true });
  const ddl: Ddl = { draft: trial, migration, position, again: [], pruned: [], read: 0 };
  const slot = toSlot({ ...migration, at: position, undeclared: isOfUndeclared(ddl) });
  const effect = effectOf(ddl);
  // A drop makes room.
  const isOneMore = (known === undefined || isSuperseded) && type !== 'drop_table';
  const isUnsent = effect === 'unsent';
  const { fits, read: connected } =
    effect === 'aside' || isUnsent
      ? { fits: isUnsent, read: 0 }
      : fitOf(trial, slot, known, isOneMore);
  if (!fits) {
    // Recorded, so that it is skipped if it is sent again.
    if (known !== undefined && !known.aside) draft.setSlot({ ...known, newest: hlc });
    else draft.setSlot({ ...slot, aside: true });
    leadNewName(ddl, draft);
    return { ...SKIPPED, read: connected + ddl.read };
  }
  leadNewName(ddl, trial);
  const read = connected + ddl.read + trial.changes;
  draft.adopt(trial);
  const isSaidAgain = known !== undefined && saysSame(known, migration);
  if (isSaidAgain && !known.aside && effect === 'none') {
    draft.setSlot({ ...known, newest: hlc });
    return { ...SKIPPED, read, loss: { standing: known } };
  }
  draft.setSlot(isUnsent ? { ...slot, aside: true } : slot);
  const sent = isUnsent ? [] : [migration, ...ddl.again];
  const endsTables = type === 'drop_table' || type === 'rename_table';
  const isReplaced = known !== undefined && !known.aside && !isSuperseded;
  const replaced = (isReplaced ? 1 : 0) + ddl.pruned.length;
  return { outcome: isUnsent ? 'skipped' : 'applied', sent, endsTables, replaced, read };
}

function saysSame(a: WireMigration, b: WireMigration): boolean {
  return a.type === b.type && a.ddl === b.ddl && a.fromTable === b.fromTable;
}

/**
 * What a migration is older than, or says again.
 * @returns `undefined` if it may be a repeat of one that had come to nothing, whose HLC is all that was kept
 */
function standingBefore(
  draft: CatalogDraft,
  migration: WireMigration,
  known: Slot,
): Slot | undefined {
  const superseded = draft.slot(supersededSlot(migration));
  if (superseded !== undefined) return superseded;
  const order = compareHlc(migration.hlc, known.hlc);
  if (order < 0) return known;
  const isIts = order === 0 ? !known.aside : saysSame(known, migration);
  return isIts ? known : undefined;
}

/** A migration takes as long as so many changes, and longer where it reads many others. */
const MIGRATION_WORK = 60;

/** How many changes take as long as a migration that has been merged. */
export function workOf({ read }: Pick<MergedMigration, 'read'>): number {
  return MIGRATION_WORK + read / READS_A_CHANGE;
}

/** Whether this very migration, of this HLC, is part of the DDL that is sent. */
export function isSent(catalog: CatalogView, migration: WireMigration): boolean {
  return [migrationSlot(migration), supersededSlot(migration)].some((key) => {
    const slot = catalog.slot(key);
    return slot?.hlc === migration.hlc && !slot.aside;
  });
}

/** Statements of one table, of different kinds or versions. Each new one reads all of them. */
const SLOTS_A_NAME_MAX = 1000;

/** @throws SyncError TOO_LARGE if the table has too many statements for one more */
function refuseCrowding(draft: CatalogDraft, { schema, table }: WireMigration): void {
  let count = 0;
  for (const _slot of draft.slotsOf(schema, table)) {
    if (++count < SLOTS_A_NAME_MAX) continue;
    const limit = 'limits.ddlBytesPerDatabase';
    throw new SyncError('TOO_LARGE', `more than ${SLOTS_A_NAME_MAX} statements of one table`, {
      limit,
    });
  }
}
