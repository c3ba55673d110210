/** What is allowed, but probably not meant. */

import type { CoordinatorConfig } from '../config/schema.ts';

export function configToWarnings({ host, auth }: CoordinatorConfig): string[] {
  const warnings: string[] = [];
  if (auth.mode === 'none' && !isLoopback(host)) {
    warnings.push(
      `auth.mode is "none" and the host is ${host}: everybody who reaches this port may read and write everything`,
    );
  }
  if (auth.mode === 'none' && auth.tokens.length > 0) {
    warnings.push(
      'auth.tokens are set, but auth.mode is "none": nobody is asked for one; set auth.mode to "token-whitelist"',
    );
  }
  return warnings;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
