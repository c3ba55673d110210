/** "Did you mean …?" for the names of hooks. */

import { editDistance } from '../errors/edit-distance.ts';
import { HOOK_NAMES, type HookName } from './kinds.ts';

/** Beyond this many edits two names have nothing to do with each other. */
const EDITS_MAX = 3;

/** Case and the `on` in front are what people leave out. */
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
