import type { HookDefinition } from 'sync-coordinator';

export interface QuotaOptions {
  /** The table whose rows are counted. */
  table: string;
  /** How many it may have; 100 by default. */
  rowsMax?: number;
}

declare module 'sync-coordinator' {
  interface HookModuleOptions {
    'sync-hooks-quota': QuotaOptions;
  }
}

declare const quota: HookDefinition<QuotaOptions>;
export default quota;
