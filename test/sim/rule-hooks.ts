/** The rules of a simulation as hook modules, one for each, asked as any others are. */

import type { InvokedModule } from '../../src/hooks/chain/hook-step.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import { type Rules, rulesOf, withInstead } from './rules.ts';

export interface RuleHooksOptions {
  rules: Rules;
  /** Whether batches are judged one at a time. */
  isSerial: boolean;
  /** Whether a site may not see everything; `undefined` for no filter at all. */
  isRestricted?: ((siteId: Uint8Array) => boolean) | undefined;
  /** Says when a hook fails. */
  fails(): boolean;
}

export function createRuleHooks({
  rules,
  isSerial,
  isRestricted,
  fails,
}: RuleHooksOptions): InvokedModule[] {
  const modules = rulesOf(rules).map(
    ({ name, isAtomic, rule }): InvokedModule => ({
      name,
      isSerial,
      hooks: {
        async onBeforeApplyChanges(_client, changes) {
          if (fails()) throw new Error('simulated');
          const judge = (change: (typeof changes)[number]['changes'][number]) => {
            const ruling = rule(change);
            if (ruling === true) return true;
            return ruling === false ? { reason: 'no' } : withInstead(change, ruling);
          };
          return judgeChanges(changes, judge, { atomic: isAtomic, migration: () => true });
        },
      },
    }),
  );
  // Without a filter the way of what is sent is another one.
  if (isRestricted === undefined) return modules;
  return [...modules, { name: 'hide', hooks: createFilter(isRestricted) }];
}

function createFilter(isRestricted: (siteId: Uint8Array) => boolean): CoordinatorHooks {
  return {
    onBeforeSendChanges(client, changeSets) {
      if (!isRestricted(client.siteId)) return changeSets;
      return changeSets.map((changeSet) => ({
        ...changeSet,
        changes: changeSet.changes.filter(({ table }) => table !== 'secret'),
      }));
    },
  };
}
