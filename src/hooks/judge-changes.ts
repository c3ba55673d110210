/** A validate hook's work, change by change. */

import type { Change, ChangeSet, RejectedChange, SchemaMigration } from '../protocol/types.ts';
import { addsOnly } from './ddl-actions.ts';
import type { BatchReader } from './reader.ts';
import type { MaybePromise, ValidationResult } from './types.ts';

/** Why a change may not be stored. */
export interface Refusal {
  reason: string;
  /** For programs; `REJECTED` if there is none. */
  code?: string;
}

/** `true` approves; a change is stored instead, as the coordinator's own; a reason rejects. */
export type ChangeVerdict = true | Change | Refusal;

/** `true` approves; a reason rejects. */
export type MigrationVerdict = true | Refusal;

export interface JudgeOptions {
  /** Whether one rejected change takes the others of its transaction with it. */
  atomic?: boolean;
  /**
   * `call.read` of the hook's last argument: while a transaction is judged it shows what has been approved of
   * those before it in the batch. Give it whenever `judge` reads.
   */
  read?: Pick<BatchReader, 'add'>;
  /**
   * Asked about every migration (DDL) of a transaction, before its changes. Without it DDL that only adds
   * is approved, and all else is rejected with the code `DDL_NOT_JUDGED`: see `judgeUnasked`.
   */
  migration?(migration: SchemaMigration, changeSet: ChangeSet): MaybePromise<MigrationVerdict>;
}

/**
 * Asks `judge` about every change of a batch, one after the other, and makes the answer of
 * `onBeforeApplyChanges` of it.
 */
export async function judgeChanges(
  changeSets: readonly ChangeSet[],
  judge: (change: Change, changeSet: ChangeSet) => MaybePromise<ChangeVerdict>,
  { atomic = false, read, migration: judgeMigration = judgeUnasked }: JudgeOptions = {},
): Promise<ValidationResult> {
  const rejected: RejectedChange[] = [];
  // Last, since they name no more than a table, and must not speak for changes of it.
  const rejectedDdl: RejectedChange[] = [];
  const approved: ChangeSet[] = [];
  for (const changeSet of changeSets) {
    const schemaMigrations: SchemaMigration[] = [];
    for (const migration of changeSet.schemaMigrations) {
      const verdict = await judgeMigration(migration, changeSet);
      if (verdict === true) schemaMigrations.push(migration);
      else rejectedDdl.push({ table: migration.table, ...verdict });
    }
    const changes: Change[] = [];
    for (const change of changeSet.changes) {
      const verdict = await judge(change, changeSet);
      if (verdict === true) changes.push(change);
      else if (isRefusal(verdict)) rejected.push({ ...placeOf(change), ...verdict });
      else changes.push(verdict);
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
 * What rules about rows say to DDL that nobody asked them about. A table that is dropped or renamed takes
 * its rows from under any rule, and a constraint refuses rows that a rule lets pass, so only what is known to
 * leave the rows as they are may pass.
 */
function judgeUnasked({ type, schema, table, ddl }: SchemaMigration): MigrationVerdict {
  if (ADDITIVE_TYPES.has(type) && addsOnly(ddl, schema)) return true;
  const reason = `${type} of ${table}, or its text, may do more than to add to tables, and the rules here are about rows only`;
  return { reason, code: 'DDL_NOT_JUDGED' };
}

function isRefusal(verdict: Change | Refusal): verdict is Refusal {
  return typeof verdict === 'object' && verdict !== null && 'reason' in verdict;
}

/** What names a change to the one who sent it. */
export function placeOf(change: Change): Omit<RejectedChange, 'reason'> {
  const { table, pk } = change;
  return change.type === 'column' ? { table, column: change.column, pk } : { table, pk };
}
