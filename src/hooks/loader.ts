/**
 * Finds, imports and sets up the hook modules that the config names, in its order. Whatever
 * is wrong with one of them fails the start with a HookLoadError: a server that runs
 * without a check it was told to make is worse than none.
 */

import { isAbsolute, relative, sep } from 'node:path';
import { type ImportedModule, importModule } from '../config/import-module.ts';
import { PACKAGE_NAME, PACKAGE_VERSION } from '../config/own-package.ts';
import { findPackageVersion } from '../config/package-version.ts';
import { createLogger } from '../logger.ts';
import tokenWhitelist from './builtin/token-whitelist.ts';
import { refuseHooksOf, toHooks } from './check-hooks.ts';
import { checkOptions } from './check-options.ts';
import { CODE, type CodeHooks, codeToEntries, settled } from './code-hooks.ts';
import { createModuleLife, type HookContext, type HookSurroundings } from './context.ts';
import { isHookDefinition } from './define-hooks.ts';
import { type ModuleEntry, readEntry } from './entries.ts';
import type { HookEntry } from './hook-entry.ts';
import { HookLoadError, messageOf } from './load-error.ts';
import type { LoadedHooks } from './loaded-hooks.ts';
import type { ModuleExtras, ServedRoutes } from './module-extras.ts';
import { moduleToExport, unwrap } from './module-export.ts';
import { sharedUsers } from './shared-users.ts';

/** What the loader needs of the config; relative paths in `modules` are absolute already. */
export interface HooksConfig {
  auth: {
    mode: 'none' | 'token-whitelist' | 'custom';
    tokens: readonly string[];
    /** Absolute. */
    tokensFile?: string | undefined;
  };
  hooks: { modules: readonly HookEntry[] };
}

export interface LoadHooksOptions {
  surroundings: HookSurroundings;
  /** Where packages are looked up from. Default: the working directory. */
  fromDir?: string;
}

const logger = createLogger('sync-coordinator:hooks');

/** What is here does not have to be found, nor imported a second time. */
const TOKEN_WHITELIST = `${PACKAGE_NAME}/hooks/token-whitelist`;

/** Where they are, for people. */
const BUILT_IN = 'built in';
const THE_CONFIGURATION = 'the configuration';

/** Importing a module and setting it up, each: beyond it the start fails, instead of hanging. */
const LOAD_TIMEOUT_MS = 30_000;

/** A module that was found. */
interface Found {
  /** As the config names it. */
  module: string;
  given: unknown;
  source: string;
  version: string | undefined;
}

/**
 * The modules in the order of the chain: the token whitelist if `auth.mode` asks for
 * it, those of the config, the hooks of the embedding code (`code`).
 * @throws HookLoadError; what was set up before is closed again
 */
export async function loadHooks(
  config: HooksConfig,
  codeHooks: CodeHooks | undefined,
  { fromDir = process.cwd(), surroundings }: LoadHooksOptions,
): Promise<LoadedHooks[]> {
  const loaded: LoadedHooks[] = [];
  const nameOnce = createNumberer();
  const codeEntries = await codeToEntries(codeHooks);
  try {
    // One after the other, so that the first that is wrong is the one that is told.
    for (const entry of configToEntries(config)) {
      const found = await find(entry, THE_CONFIGURATION, fromDir);
      loaded.push(await setUp(found, entry.options, nameOnce, surroundings));
    }
    for (const given of codeEntries) {
      const entry = readEntry(given, CODE);
      const found = await find(entry, CODE, fromDir);
      loaded.push(await setUp(found, entry.options, nameOnce, surroundings));
    }
    demandAuthenticate(config, loaded);
    refuseSharedPaths(loaded);
    for (const warning of sharedUsers(loaded)) logger.warn('%s', warning);
  } catch (error) {
    for (const { close } of loaded.reverse()) await close();
    throw error;
  }
  return loaded;
}

function configToEntries({ auth, hooks }: HooksConfig): ModuleEntry[] {
  const isListed = auth.mode === 'token-whitelist';
  const entries: HookEntry[] = isListed ? [TOKEN_WHITELIST, ...hooks.modules] : [...hooks.modules];
  return entries.map((given) => {
    const entry = readEntry(given, 'of the configuration');
    const isWhitelist = entry.module === TOKEN_WHITELIST && entry.options === undefined;
    return isWhitelist ? { ...entry, options: tokenOptions(auth) } : entry;
  });
}

function tokenOptions({ tokens, tokensFile }: HooksConfig['auth']) {
  return { tokens: [...tokens], ...(tokensFile === undefined ? {} : { tokensFile }) };
}

/**
 * One module, without a config around it.
 * @throws HookLoadError
 */
export function setUpModule(
  given: unknown,
  options: unknown,
  surroundings: HookSurroundings,
): Promise<LoadedHooks> {
  const module = isHookDefinition(given) ? given.name : 'hooks';
  const found = { module, given, source: 'code', version: undefined };
  return setUp(found, options, (name) => name, surroundings);
}

async function find(entry: ModuleEntry, namedIn: string, cwd: string): Promise<Found> {
  const { module: named, from: fromDir = cwd } = entry;
  if (typeof named !== 'string') return unwrapGiven(named, namedIn);
  const module = toShown(named, cwd);
  if (named === TOKEN_WHITELIST) {
    return { module, given: tokenWhitelist, source: BUILT_IN, version: PACKAGE_VERSION };
  }
  let imported: ImportedModule;
  try {
    imported = await inTime(importModule(named, fromDir), 'loading');
  } catch (error) {
    throw new HookLoadError(module, messageOf(error), error);
  }
  const given = moduleToExport(module, imported.module);
  const source = named.startsWith(`${PACKAGE_NAME}/`) ? BUILT_IN : imported.url;
  return { module, given, source, version: findPackageVersion(named, imported.url) };
}

/** A module itself, or what `import()` of it gives. */
async function unwrapGiven(named: unknown, source: string): Promise<Found> {
  const unnamed = source === CODE ? CODE : 'hooks';
  const given = unwrap(unnamed, await inTime(settled(named), 'its promise'));
  return {
    module: isHookDefinition(given) ? given.name : unnamed,
    given,
    source,
    version: undefined,
  };
}

async function setUp(
  { module, given, source, version }: Found,
  givenOptions: unknown,
  nameOnce: (name: string) => string,
  surroundings: HookSurroundings,
): Promise<LoadedHooks> {
  const name = nameOnce(isHookDefinition(given) ? given.name : module);
  const options = optionsOf(module, given, givenOptions);
  const life = createModuleLife(name, surroundings);
  try {
    const made = await makeHooks(module, given, options, life.context);
    const { extras } = life;
    const hooks = toHooks(module, made, !extras.isEmpty);
    const routes = await serveRoutes(module, extras, surroundings);
    if (routes !== undefined) life.context.onClose(() => routes.close());
    const own = isHookDefinition(given) ? given : undefined;
    const optionsSchema = own?.options;
    const found = { name, module, source, version: own?.version ?? version };
    return {
      ...{ ...found, options, optionsSchema, hooks, routes, close: life.close },
      status: () => extras.statusLines,
      ready: () => extras.ready(),
    };
  } catch (error) {
    await life.close();
    throw error;
  }
}

async function serveRoutes(
  module: string,
  extras: ModuleExtras,
  { serveRoutes: serve }: HookSurroundings,
): Promise<ServedRoutes | undefined> {
  try {
    return await inTime(extras.finish(serve), 'adding its routes');
  } catch (error) {
    throw new HookLoadError(module, `its routes are wrong: ${messageOf(error)}`, error);
  }
}

function optionsOf(module: string, given: unknown, options: unknown): unknown {
  if (isHookDefinition(given)) {
    if (given.options !== undefined) return checkOptions(module, options, given.options);
    if (options === undefined) return undefined;
    throw new HookLoadError(module, 'it takes no options; give its definition a schema of them');
  }
  // An empty object, so that a function may take its options apart without asking.
  if (typeof given === 'function') {
    refuseHooksOf(module, given);
    return options ?? {};
  }
  if (options === undefined) return undefined;
  throw new HookLoadError(
    module,
    'it is an object and takes no options; export what defineHooks gives, or a function of them',
  );
}

async function makeHooks(
  module: string,
  given: unknown,
  options: unknown,
  context: HookContext,
): Promise<unknown> {
  if (!isHookDefinition(given) && typeof given !== 'function') return given;
  const setup = async (): Promise<unknown> =>
    isHookDefinition(given) ? given.setup(options, context) : given(options, context);
  try {
    return await inTime(setup(), 'its setup');
  } catch (error) {
    throw new HookLoadError(module, `its setup failed: ${messageOf(error)}`, error);
  }
}

async function inTime<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const refuse = () => reject(new Error(`${what} did not end within ${LOAD_TIMEOUT_MS} ms`));
    timer = setTimeout(refuse, LOAD_TIMEOUT_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** As the config's author wrote it, more or less. */
function toShown(specifier: string, fromDir: string): string {
  if (!isAbsolute(specifier)) return specifier;
  const path = relative(fromDir, specifier).replaceAll(sep, '/');
  return path.startsWith('.') ? path : `./${path}`;
}

/** A name that comes a second time gets a number. */
function createNumberer(): (name: string) => string {
  const countByName = new Map<string, number>();
  return (name) => {
    const count = (countByName.get(name) ?? 0) + 1;
    countByName.set(name, count);
    return count === 1 ? name : `${name}#${count}`;
  };
}

function refuseSharedPaths(loaded: readonly LoadedHooks[]): void {
  const moduleByPath = new Map<string, string>();
  for (const { module, routes } of loaded) {
    if (routes === undefined) continue;
    const other = moduleByPath.get(routes.path);
    if (other !== undefined) {
      throw new HookLoadError(
        module,
        `its routes are at hooks/${routes.path}, as those of ${other}`,
      );
    }
    moduleByPath.set(routes.path, module);
  }
}

function demandAuthenticate(config: HooksConfig, loaded: readonly LoadedHooks[]): void {
  if (config.auth.mode !== 'custom') return;
  if (loaded.some(({ hooks }) => hooks.onAuthenticate !== undefined)) return;
  throw new HookLoadError(
    undefined,
    "auth.mode is 'custom', but no module has onAuthenticate: add one that does to hooks, such as './hooks/auth.ts', or set auth.mode to 'token-whitelist'",
  );
}
