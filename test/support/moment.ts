import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Between two looks at whether something has come about that no event tells. Looking in each turn would
 * take the processor from what is waited for.
 */
export function aMoment(): Promise<void> {
  return sleep(1);
}
