/**
 * Finds and imports the hook modules that the config names, in its order. Whatever is
 * wrong with one of them fails the start with a HookLoadError: a server that runs
 * without a check it was told to make is worse than none.
 */

import { isAbsolute, relative, sep } from 'node:path';
import { type ImportedModule, importModule } from '../config/import-module.ts';
import tokenWhitelist from './builtin/token-whitelist.ts';
import { hasHooks, toHooks } from './check-hooks.ts';
import { HookLoadError, messageOf } from './load-error.ts';
import { moduleToExport } from './module-export.ts';
import type { CoordinatorHooks, HookEntry, LoadedHooks } from './types.ts';

/** What the loader needs of the config; relative paths in `modules` are absolute already. */
export interface HooksConfig {
  auth: { mode: 'none' | 'token-whitelist' | 'custom'; tokens: readonly string[] };
  hooks: { modules: readonly HookEntry[] };
}

export interface LoadHooksOptions {
  /** Where packages are looked up from. Default: the working directory. */
  fromDir?: string;
}

/** What is here does not have to be found, nor imported a second time. */
const TOKEN_WHITELIST = 'sync-coordinator/hooks/token-whitelist';

async function importExport(name: string, specifier: string, fromDir: string) {
  if (specifier === TOKEN_WHITELIST) return { given: tokenWhitelist, source: 'built in' };
  let imported: ImportedModule;
  try {
    imported = await importModule(specifier, fromDir);
  } catch (error) {
    throw new HookLoadError(name, messageOf(error), error);
  }
  return { given: moduleToExport(name, imported.module), source: imported.url };
}

async function setUp(name: string, given: unknown, options: unknown): Promise<CoordinatorHooks> {
  if (typeof given !== 'function') {
    if (options === undefined) return toHooks(name, given);
    throw new HookLoadError(
      name,
      'it is an object and takes no options; export a function of them',
    );
  }
  let made: unknown;
  try {
    // An empty object, so that a module may take its options apart without asking.
    made = await given(options ?? {});
  } catch (error) {
    throw new HookLoadError(name, `its setup failed: ${messageOf(error)}`, error);
  }
  return toHooks(name, made);
}

/** As the config's author wrote it, more or less; a module listed twice gets a number. */
function createNamer(fromDir: string): (specifier: string) => string {
  const countBySpecifier = new Map<string, number>();
  return (specifier) => {
    const count = (countBySpecifier.get(specifier) ?? 0) + 1;
    countBySpecifier.set(specifier, count);
    const path = relative(fromDir, specifier).replaceAll(sep, '/');
    const relativePath = path.startsWith('.') ? path : `./${path}`;
    const name = isAbsolute(specifier) ? relativePath : specifier;
    return count === 1 ? name : `${name}#${count}`;
  };
}

function demandAuthenticate(config: HooksConfig, loaded: readonly LoadedHooks[]): void {
  if (config.auth.mode !== 'custom') return;
  if (loaded.some(({ hooks }) => hooks.onAuthenticate !== undefined)) return;
  throw new HookLoadError(
    undefined,
    "auth.mode is 'custom', but no module has onAuthenticate: add one that does to hooks, such as './hooks/auth.ts', or set auth.mode to 'token-whitelist'",
  );
}

/**
 * The modules in the order of the chain: the token whitelist if `auth.mode` asks for
 * it, those of the config, the hooks of the embedding code (`code`).
 * @throws HookLoadError
 */
export async function loadHooks(
  config: HooksConfig,
  codeHooks?: CoordinatorHooks,
  { fromDir = process.cwd() }: LoadHooksOptions = {},
): Promise<LoadedHooks[]> {
  const { auth, hooks } = config;
  const loaded: LoadedHooks[] = [];
  const nameOf = createNamer(fromDir);
  const whitelistOptions = { tokens: auth.tokens };

  const isListed = auth.mode === 'token-whitelist';
  const entries: HookEntry[] = isListed ? [TOKEN_WHITELIST, ...hooks.modules] : [...hooks.modules];
  // One after the other, so that the first that is wrong is the one that is told.
  for (const entry of entries) {
    const [specifier, given] = typeof entry === 'string' ? [entry] : entry;
    const options = given ?? (specifier === TOKEN_WHITELIST ? whitelistOptions : undefined);
    const name = nameOf(specifier);
    const found = await importExport(name, specifier, fromDir);
    const made = await setUp(name, found.given, options);
    loaded.push({ name, source: found.source, hooks: made });
  }
  if (codeHooks !== undefined && hasHooks('code', codeHooks)) {
    loaded.push({ name: 'code', source: 'code', hooks: codeHooks });
  }
  demandAuthenticate(config, loaded);
  return loaded;
}
