/** What is logged, by the configuration and by `DEBUG`, which is every program's. */

import { debugOf } from '../config/resolve-config.ts';
import { enableLogging, type LogLevel } from '../logging/logger.ts';
import { namesOurs } from '../logging/own-namespaces.ts';

/** @param namespaces more than the level has, as a `debug` filter */
export function startLogging(level: LogLevel, namespaces: string): void {
  const wanted = debugOf();
  // Then `debug` has taken them from there already.
  if (wanted !== undefined && namesOurs(wanted)) return;
  enableLogging(level, [namespaces, wanted].filter(Boolean).join(','));
}
