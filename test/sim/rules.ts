/** What the hooks of a simulation allow, and the same for its model of the merge. */

import { judgeChanges } from '../../src/hooks/judge-changes.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import type { WireChange, WireChangeSet } from '../../src/wire/schemas.ts';

export interface Rules {
  onReject: 'keep' | 'revert';
  /** Whether a change that is refused takes its transaction with it. */
  isAtomic: boolean;
}

/** Deletions of rows with this key are refused. */
export const FORBIDDEN_PK: readonly number[] = [0];

function isForbidden({ type, pk, value }: { type: string; pk: unknown[]; value?: unknown }) {
  return type === 'column' ? value === 'forbidden' : pk[0] === FORBIDDEN_PK[0];
}

/** What a coordinator with these rules stores of a change set. */
export function mayBeStored({ changes }: WireChangeSet, { isAtomic }: Rules): WireChange[] {
  const allowed = changes.filter((change) => !isForbidden(change));
  return isAtomic && allowed.length < changes.length ? [] : allowed;
}

/** @param fails says when a hook fails */
export function createRuleHooks(
  { isAtomic }: Rules,
  isRestricted: (siteId: Uint8Array) => boolean,
  fails: () => boolean,
): CoordinatorHooks {
  return {
    async onBeforeApplyChanges(_client, changes) {
      if (fails()) throw new Error('simulated');
      return judgeChanges(changes, (change) => (isForbidden(change) ? { reason: 'no' } : true), {
        atomic: isAtomic,
        migration: () => true,
      });
    },
    onBeforeSendChanges(client, changeSets) {
      if (!isRestricted(client.siteId)) return changeSets;
      return changeSets.map((changeSet) => ({
        ...changeSet,
        changes: changeSet.changes.filter(({ table }) => table !== 'secret'),
      }));
    },
  };
}
