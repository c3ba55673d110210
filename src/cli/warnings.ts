/** What is allowed, but probably not meant. */

import { maskUrl } from '../config/option-display.ts';
import type { ResolvedConfig } from '../config/resolve-config.ts';

export function configToWarnings({ config, sources }: ResolvedConfig): string[] {
  const { host, auth, storage } = config;
  const isFlag = (path: string) => sources.get(path)?.startsWith('flag ') === true;
  const warnings: string[] = [];
  if (auth.mode === 'none' && !isLoopback(host)) {
    warnings.push(
      `auth.mode is "none" and the host is ${host}: everybody who reaches this port may read and write everything`,
    );
  }
  if (auth.mode === 'none' && (auth.tokens.length > 0 || auth.tokensFile !== undefined)) {
    warnings.push(
      'there are tokens, but auth.mode is "none": nobody is asked for one; set auth.mode to "token-whitelist"',
    );
  }
  const shown = 'on the command line, which every user of this machine can read (ps)';
  if (isFlag('auth.tokens')) {
    warnings.push(
      `auth.tokens stand ${shown}: name a file with auth.tokensFile, or set SYNC_AUTH_TOKENS`,
    );
  }
  if (isFlag('storage.url') && maskUrl(storage.url) !== storage.url) {
    warnings.push(
      `the password of storage.url stands ${shown}: set SYNC_STORAGE, or name it in the configuration file`,
    );
  }
  return warnings;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
