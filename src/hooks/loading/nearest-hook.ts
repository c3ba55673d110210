/** "Did you mean …?" for the names of hooks. */

import { editDistance } from '../../errors/edit-distance.ts';
import { HOOK_NAMES, type HookName } from '../kinds.ts';

/** The most edits between a misspelt name and the suggested one. */
const EDITS_MAX = 3;

/** A hook's name without case and `on`, in which misspelt names differ most often. */
export function hookEssence(name: string): string {
  return name.toLowerCase().replace(/^on/, '');
}

export function nearestHook(name: string): HookName | undefined {
  let nearest: HookName | undefined;
  let edits = EDITS_MAX + 1;
  for (const hook of HOOK_NAMES) {
    const distance = editDistance(hookEssence(name), hookEssence(hook));
    if (distance < edits) [nearest, edits] = [hook, distance];
  }
  return nearest;
}
