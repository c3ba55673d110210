/** What is allowed, but probably not meant. */

import { isLoopback } from '../config/loopback.ts';
import { maskUrl } from '../config/option-display.ts';
import { isForPublicSuffix } from '../config/origin-pattern.ts';
import type { ResolvedConfig } from '../config/resolve-config.ts';
import type { HookName } from '../hooks/kinds.ts';
import { PACKAGE_NAME } from '../modules/own-package.ts';
import { isOriginAllowed } from '../service/admission/origins.ts';
import { exposedSecrets } from './exposed-secrets.ts';

/** Of a page that no configuration names. */
const ANY_ORIGIN = 'https://any-page.invalid';

/** @param hooks that the modules have */
export async function configToWarnings(
  resolved: ResolvedConfig,
  hooks: readonly HookName[],
): Promise<string[]> {
  const { config, sources } = resolved;
  const { host, auth, cors, storage } = config;
  const isFlag = (path: string) => sources.get(path)?.startsWith('flag ') === true;
  const warnings = [...resolved.notes];
  const isGuarded = hooks.includes('onAuthenticate') || hooks.includes('onAuthorize');
  const isOpen = auth.mode === 'none' && !isGuarded;
  if (isOpen && !isLoopback(host)) {
    warnings.push(
      `auth.mode is "none" and the host is ${host}: everybody who reaches this port may read and write everything`,
    );
  }
  if (isOpen && isOriginAllowed(cors.origin, ANY_ORIGIN)) {
    warnings.push(
      'auth.mode is "none" and cors.origin lets in all pages: every web page that a browser on a machine that reaches this port shows may read and write everything',
    );
  }
  for (const origin of [cors.origin].flat()) {
    if (typeof origin !== 'string' || !isForPublicSuffix(origin)) continue;
    warnings.push(`cors.origin has "${origin}": anybody may buy a name there, and so is let in`);
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
  return [...warnings, ...(await exposedSecrets(resolved, process.cwd()))];
}

export function sayWarning(text: string): void {
  process.stderr.write(`${PACKAGE_NAME}: warning: ${text}\n`);
}
