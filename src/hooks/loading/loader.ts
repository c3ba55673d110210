/**
 * Finds, imports and sets up the hook modules of the config, in order. Any fault fails the start
 * with a HookLoadError: a server that runs without a configured check is worse than none.
 */

import { createLogger } from '../../logging/logger.ts';
import { createModuleLife, type HookContext, type HookSurroundings } from '../context.ts';
import { isHookDefinition } from '../define-hooks.ts';
import { HookLoadError, messageOf } from '../load-error.ts';
import type { ModuleExtras, ServedRoutes } from '../module-extras.ts';
import { ProvidedValues } from '../provided.ts';
import { checkDefinition } from './check-definition.ts';
import { refuseHooksOf, toHooks } from './check-hooks.ts';
import { checkOptions } from './check-options.ts';
import { CODE, type CodeHooks, codeToEntries } from './code-hooks.ts';
import { type ModuleEntry, readEntry } from './entries.ts';
import {
  type Found,
  type FoundEntry,
  findEntry,
  THE_CONFIGURATION,
  TOKEN_WHITELIST,
} from './find-module.ts';
import type { HookEntry } from './hook-entry.ts';
import { inTime } from './load-time.ts';
import type { LoadedHooks } from './loaded-hooks.ts';
import { inOrder } from './order.ts';
import { withinScope } from './scope.ts';
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
  /** The directory from which packages are resolved. Default: the working directory. */
  fromDir?: string;
}

const logger = createLogger('sync-coordinator:hooks');
/**
 * The modules in the order of the chain: the token whitelist if `auth.mode` asks for
 * it, those of the config, the hooks of the embedding code (`code`).
 * @throws HookLoadError; what was set up before is closed again
 */
export async function loadHooks(
  config: HooksConfig,
  codeHooks: CodeHooks | undefined,
  { fromDir = process.cwd(), surroundings: shared }: LoadHooksOptions,
): Promise<LoadedHooks[]> {
  const surroundings = { ...shared, provided: new ProvidedValues() };
  const loaded: LoadedHooks[] = [];
  const nameOnce = createNumberer();
  const codeEntries = await codeToEntries(codeHooks);
  try {
    const found: FoundEntry[] = [];
    // One after the other, so that the error is about the first one that is wrong.
    for (const entry of configToEntries(config)) {
      found.push(await findEntry(entry, THE_CONFIGURATION, fromDir));
    }
    for (const given of codeEntries) {
      found.push(await findEntry(readEntry(given, CODE), CODE, fromDir));
    }
    for (const { entry, ...module } of inOrder(found)) {
      loaded.push(place(await setUp(module, entry.options, nameOnce, surroundings), entry));
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

function place(loaded: LoadedHooks, { timeoutMs, ...scope }: ModuleEntry): LoadedHooks {
  const { databases } = scope;
  return { ...loaded, timeoutMs, databases, hooks: withinScope(loaded.hooks, scope) };
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
 * Sets up one module without a config.
 * @throws HookLoadError
 */
export function setUpModule(
  given: unknown,
  options: unknown,
  surroundings: HookSurroundings,
): Promise<LoadedHooks> {
  const module = isHookDefinition(given) ? given.name : 'hooks';
  if (isHookDefinition(given)) checkDefinition(module, given);
  const found = { module, given, source: 'code', version: undefined };
  return setUp(found, options, (name) => name, surroundings);
}

async function setUp(
  { module, given, source, version }: Found,
  givenOptions: unknown,
  nameOnce: (name: string) => string,
  surroundings: HookSurroundings,
): Promise<LoadedHooks> {
  const name = nameOnce(isHookDefinition(given) ? given.name : module);
  const options = optionsOf(module, given, givenOptions);
  const life = createModuleLife(name, surroundings, await surroundings.previousOf?.(name));
  try {
    const made = await makeHooks(module, given, options, life.context);
    life.begin();
    const { extras } = life;
    const hooks = toHooks(module, made, !extras.isEmpty);
    const routes = await serveRoutes(module, extras, surroundings);
    if (routes !== undefined) life.context.onClose(() => routes.close());
    const own = isHookDefinition(given) ? given : undefined;
    const optionsSchema = own?.options;
    const found = { name, module, source, version: own?.version ?? version };
    const { handOver, takeBack, close } = life;
    const isSerial = own?.serial ?? false;
    return {
      ...{ ...found, options, optionsSchema, hooks, isSerial, routes },
      ...{ handOver, takeBack, close },
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
  // An empty object, so that a function can destructure its options.
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

/** Adds a number to a repeated name. */
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
