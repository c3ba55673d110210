/**
 * Asks the hooks about a batch: whether its sender may apply it, and what of it is merged. What they
 * rewrite becomes the coordinator's own.
 */

import type { Sender } from '../../engine/merge/foreign-authors.ts';
import type { HookChain } from '../../hooks/chain/chain.ts';
import type { ShownSets } from '../../hooks/chain/shown-sets.ts';
import type { CallOrigin, ClientIdentity, MigrationSummary } from '../../hooks/types.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { RejectedChange } from '../../protocol/types.ts';
import { runByTurns } from '../../wire/steps.ts';
import type { DatabaseAccess } from '../access/open-database.ts';
import { holderOf } from '../budgets/budget.ts';
import type { HookRows } from '../budgets/hook-rows.ts';
import { AcceptedBatches, PreviewReader } from './batch-reader.ts';
import { type Corrected, type Separated, separateCorrections } from './corrections.ts';
import { weighChanges } from './drain.ts';
import { judgeUnderAllNames } from './incoming-names.ts';
import { explainRefused } from './rejections.ts';

/** For whom the hooks are invoked, and in which call. */
export interface Asking {
  hooks: HookChain;
  client: ClientIdentity;
  origin: CallOrigin;
}

/** A batch that its sender may apply. */
export interface ArrivedBatch extends Asking {
  database: DatabaseAccess;
  changeSets: readonly WireChangeSet[];
  sender: Sender;
  shown: ShownSets;
}

export interface JudgedBatch {
  /** The answers of the hooks, and the part of them that is merged. */
  corrected: Separated;
  approved: Corrected;
  rejected: readonly RejectedChange[];
}

export interface JudgeOptions {
  /** `hooks.onReject` */
  onReject: 'keep' | 'revert';
  /** The memory for what the hooks read in a client's calls. */
  hookMemory(holder: string): { rows: HookRows };
}

/** @throws SyncError NOT_AUTHORIZED, or why the hooks cannot decide */
export function authorize(
  { hooks, client, origin }: Asking,
  databaseId: string,
  changeSets: readonly WireChangeSet[],
): Promise<void> {
  const changeCount = weighChanges(changeSets);
  const migrations = summarizeMigrations(changeSets);
  const operation = { type: 'apply_changes', databaseId, changeCount } as const;
  const asked = migrations.length === 0 ? operation : { ...operation, migrations };
  return hooks.authorize(client, asked, undefined, origin);
}

/** All modules get the same list, so it is frozen. */
function summarizeMigrations(changeSets: readonly WireChangeSet[]): readonly MigrationSummary[] {
  const migrations = changeSets.flatMap(({ schemaMigrations }) => schemaMigrations);
  return Object.freeze(
    migrations.map(({ type, schema, table, fromTable }) =>
      Object.freeze({ type, schema, table, ...(fromTable === undefined ? {} : { fromTable }) }),
    ),
  );
}

export class BatchJudge {
  readonly #options: JudgeOptions;
  readonly #accepted = new AcceptedBatches();

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  /**
   * The batch waits for its merge: until that has ended, the sender's later batches are judged by it
   * as well.
   * @returns to be called once it is stored, or has failed
   */
  accept({ database, sender }: ArrivedBatch, { approved }: JudgedBatch): () => void {
    const own = approved.changeSets.concat(approved.compensations);
    const accepted = this.#accepted.add(database.id, sender, own);
    return () => this.#accepted.remove(accepted);
  }

  async judge(batch: ArrivedBatch): Promise<JudgedBatch> {
    const { hooks, client, origin, database, changeSets, sender, shown } = batch;
    const accepted = this.#accepted;
    const reader = () => {
      const { rows } = this.#options.hookMemory(holderOf(client, client.remoteAddress));
      return new PreviewReader({ database, sender, accepted, rows });
    };
    const verdict = await hooks.beforeApply(client, changeSets, { origin, reader, shown });
    const { manager } = await database.open();
    const { approved, lineage } = await judgeUnderAllNames(
      verdict,
      manager.tables.aliases,
      (sets) => hooks.beforeApply(client, sets, { isOtherName: true, origin, reader }),
    );
    if (approved === changeSets && lineage.saysNothing) return asSent(changeSets);
    const corrected = await runByTurns(separateCorrections(changeSets, approved, lineage));
    const { compensations, refused, moved } = corrected;
    // Only the device's own changes are compensated or reverted. A compensation of another site's
    // change would win over that change when its author sends it. And a revert that the device
    // pushes back would, once compensated, reach every client.
    const pick = (sets: readonly WireChangeSet[], which: 'foreign' | 'own') =>
      sender.pick(sets, which, manager.identity.hlcs);
    return {
      corrected,
      approved: {
        changeSets: corrected.changeSets.concat(pick(compensations, 'foreign')),
        compensations: pick(compensations, 'own'),
        refused: this.#options.onReject === 'revert' ? pick(refused, 'own') : [],
        moved: pick(moved, 'own'),
      },
      rejected: await runByTurns(explainRefused(refused, lineage)),
    };
  }
}

const NO_REWRITES: Separated['rewrites'] = new Map();

/** For a batch about which no hook is asked. */
export function asSent(changeSets: readonly WireChangeSet[]): JudgedBatch {
  const approved = { changeSets, compensations: [], refused: [], moved: [] };
  const corrected = {
    changeSets,
    compensations: [],
    refused: [],
    moved: [],
    rewrites: NO_REWRITES,
  };
  return { corrected, approved, rejected: [] };
}
