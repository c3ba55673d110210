/** What `sync-coordinator init` may be told instead of being asked. */

import { Option } from 'commander';

export const HOOKS = ['log', 'rule', 'filter'] as const;
export type FirstHook = (typeof HOOKS)[number];

export const HOOK_FLAG = new Option(
  '--hook <name>',
  'the first hook: log (tells who changed what), rule (refuses changes), filter (hides some)',
).choices(HOOKS);

/** As commander reads them; the first two are options of the configuration as well. */
export interface InitOptions {
  authMode?: string;
  dataDir?: string;
  hook?: FirstHook;
  yes?: boolean;
}
