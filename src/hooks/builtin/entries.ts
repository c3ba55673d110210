/** Declares the options of the built-in modules for configurations, as packages do for theirs. */

import type { AuditLogOptions } from './audit-log.ts';
import type { DdlOptions } from './ddl.ts';
import type { JwtOptions } from './jwt.ts';
import type { RateLimitOptions } from './rate-limit.ts';
import type { ReadOnlyOptions } from './read-only.ts';
import type { TokenWhitelistOptions } from './token-whitelist.ts';
import type { ValidateSchemaOptions } from './validate-schema.ts';
import type { WebhookOptions } from './webhook.ts';

declare module '../loading/hook-entry.ts' {
  interface HookModuleOptions {
    'sync-coordinator/hooks/token-whitelist': TokenWhitelistOptions;
    'sync-coordinator/hooks/jwt': JwtOptions;
    'sync-coordinator/hooks/rate-limit': RateLimitOptions;
    'sync-coordinator/hooks/read-only': ReadOnlyOptions;
    'sync-coordinator/hooks/ddl': DdlOptions;
    'sync-coordinator/hooks/validate-schema': ValidateSchemaOptions;
    'sync-coordinator/hooks/audit-log': AuditLogOptions;
    'sync-coordinator/hooks/webhook': WebhookOptions;
  }
}
