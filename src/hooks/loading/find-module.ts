/** Finds and imports the module of an entry, before it is set up. */

import { isAbsolute, relative, resolve, sep } from 'node:path';
import { type ImportedModule, importModule } from '../../modules/import-module.ts';
import { PACKAGE_NAME } from '../../modules/own-package.ts';
import { findPackageVersion } from '../../modules/package-version.ts';
import { isHookDefinition } from '../define-hooks.ts';
import { HookLoadError, messageOf } from '../load-error.ts';
import { checkDefinition } from './check-definition.ts';
import { CODE, settled } from './code-hooks.ts';
import type { ModuleEntry } from './entries.ts';
import { inTime } from './load-time.ts';
import { moduleToExport, unwrap } from './module-export.ts';
import type { Ordered } from './order.ts';

/** A module that was found. */
export interface Found {
  /** The module's name in the config. */
  module: string;
  given: unknown;
  source: string;
  version: string | undefined;
}

/** A module with its entry and its order. */
export type FoundEntry = Found & Ordered & { entry: ModuleEntry };

export const TOKEN_WHITELIST = `${PACKAGE_NAME}/hooks/token-whitelist`;

/** Where modules come from, for messages. */
const BUILT_IN = 'built in';
export const THE_CONFIGURATION = 'the configuration';

/**
 * @param namedIn where the entry is, for messages
 * @param cwd the directory from which packages are resolved, if the entry has none
 * @throws HookLoadError
 */
export async function findEntry(
  entry: ModuleEntry,
  namedIn: string,
  cwd: string,
): Promise<FoundEntry> {
  const found = await find(entry, namedIn, cwd);
  const { module, given } = found;
  const { enforce } = entry;
  if (!isHookDefinition(given)) return { ...found, entry, name: module, enforce };
  checkDefinition(module, given);
  const { name, after, requires } = given;
  return { ...found, entry, name, enforce, after, requires };
}

async function find(entry: ModuleEntry, namedIn: string, cwd: string): Promise<Found> {
  const { module: named, from = '' } = entry;
  if (typeof named !== 'string') return unwrapGiven(named, namedIn);
  const module = toShown(named, cwd);
  let imported: ImportedModule;
  try {
    imported = await inTime(importModule(named, resolve(cwd, from)), 'loading');
  } catch (error) {
    throw new HookLoadError(module, messageOf(error), error);
  }
  const given = moduleToExport(module, imported.module);
  const source = named.startsWith(`${PACKAGE_NAME}/`) ? BUILT_IN : imported.url;
  return { module, given, source, version: findPackageVersion(named, imported.url) };
}

/** Unwraps a module, or the result of its `import()`. */
async function unwrapGiven(named: unknown, source: string): Promise<Found> {
  const unnamed = source === CODE ? CODE : 'hooks';
  const given = unwrap(unnamed, await inTime(settled(named), 'its promise'));
  const module = isHookDefinition(given) ? given.name : unnamed;
  return { module, given, source, version: undefined };
}

/** The path about as the author of the config wrote it. */
function toShown(specifier: string, fromDir: string): string {
  if (!isAbsolute(specifier)) return specifier;
  const path = relative(fromDir, specifier).replaceAll(sep, '/');
  return path.startsWith('.') ? path : `./${path}`;
}
