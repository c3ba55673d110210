/**
 * Finds and reads the configuration file through cosmiconfig: in the working
 * directory only, never above it, so that nothing outside of a deployment changes it.
 */

import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { cosmiconfigSync, defaultLoadersSync } from 'cosmiconfig';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { ConfigError } from '../errors/config-error.ts';
import { failureToReason } from '../modules/failure-reason.ts';
import { requireModule } from '../modules/import-module.ts';
import { parseJsonFile } from '../modules/json-file.ts';
import { PACKAGE_NAME } from '../modules/own-package.ts';
import { kindToText } from '../options/plain-object.ts';
import { CONFIG_OPTIONS } from './options.ts';

/** Where a configuration is looked for, in this order; the first that has one wins. */
export const CONFIG_FILE_NAMES = [
  ...['ts', 'mts', 'js', 'mjs', 'cjs', 'json'].map((type) => `${PACKAGE_NAME}.config.${type}`),
  ...['yaml', 'yml'].map((type) => `${PACKAGE_NAME}.config.${type}`),
  ...['json', 'yaml', 'yml'].map((type) => `${PACKAGE_NAME}.${type}`),
  'package.json',
] as const;

export interface ConfigFile {
  /** Absolute. */
  path: string;
  /** What it holds; not checked. */
  input: unknown;
}

/** The names at the top of a configuration. */
const OPTION_GROUPS = new Set(CONFIG_OPTIONS.map(({ path }) => path.split('.', 1)[0]));

/** Replaces cosmiconfig's own loaders, which need `typescript` and write beside the file. */
const moduleLoaders = Object.fromEntries(
  ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'].map((type) => [type, loadModule]),
);

/**
 * Reads the file at `configPath`, or else the first of `CONFIG_FILE_NAMES` in `cwd`.
 * @returns `undefined` where none is named and none is there
 * @throws ConfigError where the file is missing, unreadable, empty or fails
 */
export function readConfigFile(cwd: string, configPath?: string): ConfigFile | undefined {
  const explorer = cosmiconfigSync(PACKAGE_NAME, {
    searchPlaces: [...CONFIG_FILE_NAMES],
    searchStrategy: 'none',
    // An empty file is a mistake to tell, not one to look past.
    ignoreEmptySearchPlaces: false,
    loaders: { ...moduleLoaders, '.json': loadJson, '.yaml': loadYaml, '.yml': loadYaml },
    cache: false,
  });
  const named = configPath === undefined ? undefined : resolve(cwd, configPath);
  let place = named ?? cwd;
  try {
    if (named !== undefined && !existsSync(named)) {
      throw new Error('there is no such file');
    }
    const result = named === undefined ? explorer.search(cwd) : explorer.load(named);
    if (named === undefined) {
      refuseUnreadable(cwd, result?.filepath);
    } else if (result === null) {
      throw new Error(`has no "${PACKAGE_NAME}"`);
    }
    place = result?.filepath ?? place;
    if (result?.isEmpty) {
      throw new Error('is empty');
    }
    return result === null ? undefined : { path: result.filepath, input: result.config };
  } catch (error) {
    throw toConfigError(error, place);
  }
}

/** cosmiconfig looks past what it can't read; a server without its tokens must not start. */
function refuseUnreadable(cwd: string, found: string | undefined): void {
  for (const path of CONFIG_FILE_NAMES.map((name) => join(cwd, name))) {
    if (path === found) {
      return;
    }
    if (!existsSync(path)) continue;
    accessSync(path, constants.R_OK);
    // What a container's engine makes of a file to be mounted that is not there.
    if (statSync(path).isDirectory()) {
      throw Object.assign(new Error('is a directory, must be a file'), { path });
    }
  }
}

function loadModule(path: string): unknown {
  let exported: unknown;
  try {
    exported = requireModule(path);
  } catch (error) {
    // Without its code: cosmiconfig takes an ENOENT from inside a file for a missing file.
    throw new Error(error instanceof Error ? error.message : String(error), { cause: error });
  }
  const module = exported;
  // A translated module shows its default export below the one of the translation.
  for (let depth = 0; depth < 2 && hasDefault(exported); depth += 1) {
    exported = exported.default;
  }
  if (exported === undefined || exported === null) {
    throw new Error('has no default export');
  }
  if (exported === module) refuseNothing(module);
  else refuseLeftBeside(module, exported);
  return exported;
}

/** What loaders add to what a module exports. */
const OF_LOADERS = new Set(['default', '__esModule', 'module.exports']);

/** Who forgets the word `export` would start a server that lets in everybody. */
function refuseNothing(module: unknown): void {
  if (typeof module !== 'object' || module === null) return;
  if (Object.keys(module).some((name) => !OF_LOADERS.has(name))) return;
  throw new Error(
    'exports nothing, must have a default export (`export default defineConfig({ … })`, or `module.exports = { … }` in CommonJS)',
  );
}

/** An option that is exported by its own name, beside a default export without it, was meant to count. */
function refuseLeftBeside(module: unknown, exported: unknown): void {
  const read = Object(exported);
  const left = Object.keys(Object(module)).find(
    (name) => OPTION_GROUPS.has(name) && !OF_LOADERS.has(name) && !Object.hasOwn(read, name),
  );
  if (left === undefined) return;
  throw new Error(
    `exports "${left}" beside its default export, which alone is read: put it in there, or give it another name`,
  );
}

/** What cosmiconfig would take for no configuration, and look past, is refused here. */
function loadJson(path: string, text: string): unknown {
  const value = parseJsonFile(text);
  const isPackage = basename(path) === 'package.json';
  if (value === null || (isPackage && (typeof value !== 'object' || Array.isArray(value)))) {
    throw new Error(`holds ${kindToText(value)}, must hold an object`);
  }
  if (isPackage && Reflect.get(Object(value), PACKAGE_NAME) === null) {
    throw new Error(`"${PACKAGE_NAME}" is null, must be an object of options`);
  }
  return value;
}

/** As with JSON, what is wrong is told by its place alone. */
function loadYaml(path: string, text: string): unknown {
  let value: unknown;
  try {
    value = defaultLoadersSync['.yaml'](path, text);
  } catch (error) {
    const mark: unknown = Reflect.get(Object(error), 'mark');
    const at = (name: string) => Number(Reflect.get(Object(mark), name)) + 1;
    const place = mark === undefined ? '' : `: line ${at('line')}, column ${at('column')}`;
    throw new Error(`is not valid YAML${place}`);
  }
  if (value === null) throw new Error('holds null, must hold an object');
  return value;
}

function hasDefault(value: unknown): value is { default: unknown } {
  return typeof value === 'object' && value !== null && 'default' in value;
}

/** cosmiconfig and `node:fs` both say which file it was, each by its own name. */
const PlacedErrorSchema = Type.Object({
  filepath: Type.Optional(Type.String()),
  path: Type.Optional(Type.String()),
});

function toConfigError(error: unknown, place: string): ConfigError {
  const placed = Check(PlacedErrorSchema, error) ? error : {};
  const source = `file ${placed.filepath ?? placed.path ?? place}`;
  const expected = failureToReason(error);
  return new ConfigError([{ source, name: '', value: undefined, expected }], { cause: error });
}
