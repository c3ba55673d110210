/**
 * tsx, which translates TypeScript in memory. It is loaded when something is first to be imported: a
 * server without modules and with a configuration in JSON does without. Its cache of translations on the disk is
 * switched off, since the disk may be read-only.
 */

import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import type { register as RegisterCommonJs } from 'tsx/cjs/api';
import type { NamespacedUnregister } from 'tsx/esm/api';

type RegisterEsm = (options: { namespace: string; tsconfig: false }) => NamespacedUnregister;

const require = createRequire(import.meta.url);

/** Its own files, which require for others. */
export function tsxDirectory(): string {
  return dirname(require.resolve('tsx/package.json')) + sep;
}

/** Of `require`. */
export function loadCommonJsLoader(): typeof RegisterCommonJs {
  return withoutCache(() => require('tsx/cjs/api').register);
}

let esmLoader: Promise<RegisterEsm> | undefined;

/** Of `import`. */
export function loadEsmLoader(): Promise<RegisterEsm> {
  esmLoader ??= importEsmLoader();
  return esmLoader;
}

async function importEsmLoader(): Promise<RegisterEsm> {
  const stop = disableCache();
  const { register } = await import('tsx/esm/api').finally(stop);
  return (options) => withoutCache(() => register(options));
}

function withoutCache<T>(work: () => T): T {
  const stop = disableCache();
  try {
    return work();
  } finally {
    stop();
  }
}

/** tsx looks when it is loaded, also in a thread that it has started. */
function disableCache(): () => void {
  const { TSX_DISABLE_CACHE: before } = process.env;
  process.env.TSX_DISABLE_CACHE = '1';
  return () => {
    if (before === undefined) delete process.env.TSX_DISABLE_CACHE;
    else process.env.TSX_DISABLE_CACHE = before;
  };
}
