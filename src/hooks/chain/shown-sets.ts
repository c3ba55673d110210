/**
 * The change sets of one batch as its modules see them. Each module has objects of its own, since
 * it may keep and change them. They take longer to make than all the rest of a call that does
 * nothing, so a module that has left one alone in `onBeforeApplyChanges` sees the same one again in
 * `onAfterApplyChanges`.
 */

import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { ChangeSet } from '../../protocol/types.ts';
import { decodeLazily, untouchedOrigin } from '../../wire/lazy-change-set.ts';
import type { InvokedModule } from './hook-step.ts';

export class ShownSets {
  readonly #setsByModule = new Map<InvokedModule, readonly ChangeSet[]>();

  /** In a new array, which the module may change. */
  show(module: InvokedModule, changeSets: readonly WireChangeSet[]): ChangeSet[] {
    const before = this.#setsByModule.get(module);
    return changeSets.map((wire, i) => {
      const known = before?.[i];
      return known !== undefined && untouchedOrigin(known) === wire ? known : decodeLazily(wire);
    });
  }

  /** Shows change sets that are worth to be shown again if the module leaves them alone. */
  showFirst(module: InvokedModule, changeSets: readonly WireChangeSet[]): ChangeSet[] {
    const shown = changeSets.map(decodeLazily);
    this.#setsByModule.set(module, [...shown]);
    return shown;
  }

  /** Forgets the change sets of modules that have looked at any, and what was decoded for them. */
  forgetTouched(): void {
    for (const [module, sets] of this.#setsByModule) {
      if (sets.some((set) => untouchedOrigin(set) === undefined)) this.#setsByModule.delete(module);
    }
  }
}
