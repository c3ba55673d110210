/** Helps a hook to decide about a batch change by change. */

import type { Change, ChangeSet, RejectedChange, SchemaMigration } from '../../protocol/types.ts';
import { otherWork, Stretch } from '../../wire/steps.ts';
import { addsOnly } from '../ddl/actions.ts';
import { workOnDdl } from '../names/table-list.ts';
import type { BatchReader } from '../reader.ts';
import type { MaybePromise, ValidationResult } from '../types.ts';

/** Why a change may not be stored. */
export interface Refusal {
  reason: string;
  /** For programs. Default: `REJECTED`. */
  code?: string;
}

/** `true` approves, a refusal rejects. A change is stored instead, as the coordinator's own. */
export type ChangeVerdict = true | Change | Refusal;

/** `true` approves, a refusal rejects. */
export type MigrationVerdict = true | Refusal;

export interface JudgeOptions {
  /** Whether one rejected change rejects the others of its transaction. */
  atomic?: boolean;
  /**
   * `call.read` of the hook's last argument. It shows the approved changes of earlier transactions
   * in the batch. Pass it whenever `judge` reads.
   */
  read?: Pick<BatchReader, 'add'>;
  /**
   * Called for every migration (DDL) of a transaction, before its changes. Default: DDL that only
   * adds is approved, and other DDL is rejected with the code `DDL_NOT_JUDGED`.
   */
  migration?(migration: SchemaMigration, changeSet: ChangeSet): MaybePromise<MigrationVerdict>;
}

/**
 * Calls `judge` for every change of a batch, one after the other, and lets other work run meanwhile.
 * @returns the answer for `onBeforeApplyChanges`
 */
export async function judgeChanges(
  changeSets: readonly ChangeSet[],
  judge: (change: Change, changeSet: ChangeSet) => MaybePromise<ChangeVerdict>,
  { atomic = false, read, migration: judgeMigration = judgeByDefault }: JudgeOptions = {},
): Promise<ValidationResult> {
  const rejected: RejectedChange[] = [];
  // Listed last: these entries name only a table, and must not be taken for those of changes to it.
  const rejectedDdl: RejectedChange[] = [];
  const approved: ChangeSet[] = [];
  const stretch = new Stretch();
  for (const changeSet of changeSets) {
    const schemaMigrations: SchemaMigration[] = [];
    for (const migration of changeSet.schemaMigrations) {
      const verdict = await judgeMigration(migration, changeSet);
      if (verdict === true) schemaMigrations.push(migration);
      else rejectedDdl.push({ table: migration.table, ...verdict });
      if (stretch.ends(workOnDdl(migration.ddl))) await otherWork();
    }
    const changes: Change[] = [];
    for (const change of changeSet.changes) {
      const verdict = await judge(change, changeSet);
      if (verdict === true) changes.push(change);
      else if (isRefusal(verdict)) rejected.push({ ...placeOf(change), ...verdict });
      else changes.push(verdict);
      // Each turn is waited for within the hook's time limit, so there are not too many.
      if (stretch.ends(1 / 2)) await otherWork();
    }
    const wasEmpty = changeSet.changes.length + changeSet.schemaMigrations.length === 0;
    if (!wasEmpty && changes.length + schemaMigrations.length === 0) continue;
    const left = { ...changeSet, changes, schemaMigrations };
    approved.push(left);
    const isWhole =
      changes.length === changeSet.changes.length &&
      schemaMigrations.length === changeSet.schemaMigrations.length;
    if (isWhole || !atomic) read?.add(left);
  }
  return { approved, rejected: [...rejected, ...rejectedDdl], atomic };
}

const ADDITIVE_TYPES: ReadonlySet<SchemaMigration['type']> = new Set([
  ...(['create_table', 'add_column', 'add_index', 'drop_index'] as const),
]);

/**
 * The default for DDL if there are only rules about rows. Dropping or renaming a table evades such
 * rules, and a constraint may refuse rows that they approve. So only DDL that certainly leaves rows
 * unchanged is approved.
 */
function judgeByDefault({ type, schema, table, ddl }: SchemaMigration): MigrationVerdict {
  if (ADDITIVE_TYPES.has(type) && addsOnly(ddl, schema)) return true;
  const reason = `${type} of ${table}, or its text, may do more than to add to tables, and the rules here are about rows only`;
  return { reason, code: 'DDL_NOT_JUDGED' };
}

function isRefusal(verdict: Change | Refusal): verdict is Refusal {
  return typeof verdict === 'object' && verdict !== null && 'reason' in verdict;
}

/** What identifies a change to its sender. */
export function placeOf(change: Change): Omit<RejectedChange, 'reason'> {
  const { table, pk } = change;
  return change.type === 'column' ? { table, column: change.column, pk } : { table, pk };
}
