/** SIGHUP: the tokens and the hook modules anew, while everything goes on. */

import { isDeepStrictEqual } from 'node:util';
import { valueAt } from '../config/option-display.ts';
import { CONFIG_OPTIONS } from '../config/options.ts';
import type { ResolvedConfig } from '../config/resolve-config.ts';
import type { CoordinatorConfig } from '../config/schema.ts';
import { PACKAGE_NAME } from '../modules/own-package.ts';
import type { CoordinatorServer } from '../server.ts';
import { failureToText } from './failure.ts';
import { sayWarning } from './warnings.ts';

/** What a reload heeds; everything else is as it was at the start. */
const RELOADED = new Set([
  'auth.mode',
  'auth.tokens',
  'auth.tokensFile',
  'hooks.modules',
  'hooks.timeoutMs',
  'hooks.notifyCallsMax',
]);

/** Says what came of it; never rejects. */
export async function reload(
  server: CoordinatorServer,
  atStart: CoordinatorConfig,
  resolve: () => ResolvedConfig,
  newWarnings: (resolved: ResolvedConfig) => Promise<string[]>,
): Promise<void> {
  let config = atStart;
  let resolved: ResolvedConfig | undefined;
  try {
    await server.reload(() => {
      resolved = resolve();
      config = resolved.config;
      refuseOpening(server.describe().auth, config.auth.mode);
      return config;
    });
  } catch (error) {
    process.stderr.write(
      `${failureToText(error)}\n${PACKAGE_NAME}: SIGHUP: nothing was loaded; what was in force stays so, and so are tokens good that were removed\n`,
    );
    return;
  }
  const warnings = resolved === undefined ? [] : await newWarnings(resolved);
  const { length } = server.describe().hooks;
  const modules = `${length} hook module${length === 1 ? '' : 's'}`;
  process.stdout.write(`SIGHUP: tokens and ${modules} loaded anew\n`);
  for (const warning of warnings) sayWarning(warning);
  const later = changedPaths(atStart, config);
  if (later.length > 0) {
    sayWarning(`${later.join(', ')} changed, which takes effect at the next start`);
  }
}

/** A list that was lost on the way must not open a server that asks for credentials. */
function refuseOpening(before: string, mode: string): void {
  if (before === 'none' || mode !== 'none') return;
  throw new Error(
    `auth.mode would be "none" instead of "${before}", which lets in everybody: only a start does that`,
  );
}

function changedPaths(before: CoordinatorConfig, after: CoordinatorConfig): string[] {
  return CONFIG_OPTIONS.map(({ path }) => path).filter(
    (path) =>
      !RELOADED.has(path) && !isDeepStrictEqual(valueAt(before, path), valueAt(after, path)),
  );
}
