/**
 * Imports the modules that a configuration names (hooks, stores), and the
 * configuration itself: packages, subpaths and files, TypeScript without a build step.
 *
 * TypeScript is translated by tsx in a namespace of our own, in memory: nothing is
 * written beside the file, `typescript` is not needed, and the rest of the process
 * loads its modules as before.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { NamespacedUnregister } from 'tsx/esm/api';
import { failureToReason } from './failure-reason.ts';
import { NAMESPACE } from './imported-files.ts';
import {
  answerImport,
  beginGeneration,
  beginLoad,
  beneathOwnName,
  refuseChangedPackages,
  releaseOwnName,
  requiredApart,
  takeForOurs,
  translateIn,
} from './own-name.ts';
import { OWN_URLS } from './own-package.ts';
import { toRealPath } from './real-path.ts';
import { refuseRemembered } from './remembered-packages.ts';
import { RequiredModules } from './required-modules.ts';
import { loadCommonJsLoader, loadEsmLoader, tsxDirectory } from './tsx.ts';

export interface ImportedModule {
  module: Record<string, unknown>;
  /** Where it was found, for people: a file, or the directory of a package. */
  url: string;
}

/** A file name that need not exist: what `fromDir` is to a loader that wants an importing file. */
const IMPORTER = 'sync-coordinator-importer';
const NOT_FOUND_CODES = new Set([
  'MODULE_NOT_FOUND',
  'ERR_MODULE_NOT_FOUND',
  'ERR_PACKAGE_PATH_NOT_EXPORTED',
  'ERR_UNSUPPORTED_DIR_IMPORT',
]);

const requireFromHere = createRequire(import.meta.url);
/** Of `src` and `plugins`, wherever this runs from, and of the loader. */
const OWN_DIRECTORIES = [
  ...['../', '../../plugins/'].map((path) => fileURLToPath(new URL(path, import.meta.url))),
  tsxDirectory(),
];

let importer: NamespacedUnregister | undefined;
/** Takes back how CommonJS is loaded. */
let stopCommonJs: (() => void) | undefined;
/** Who needs it. */
let users = 0;
let mayMapSources = false;

/** CommonJS modules that came with what was imported: their cache knows no namespaces. */
const required = new RequiredModules(requireFromHere.cache, isOwnFile, requiredApart);

/**
 * From now on modules are imported as they are then, not as they were when imported before.
 * @throws Error where that cannot be, since Node.js remembers what has changed
 */
export function forgetImportedModules(): void {
  refuseChangedPackages();
  if (importer === undefined) return;
  beginGeneration();
  required.forget();
}

/**
 * Keeps loaders registered for what is imported: a hook module may import more when it is called.
 * @returns lets them go. With the last one Node.js loads CommonJS as it did before
 */
export function keepLoaders(): () => void {
  let isKept = true;
  users++;
  return () => {
    if (isKept) users--;
    isKept = false;
    if (users > 0) return;
    registering(() => stopCommonJs?.());
    stopCommonJs = undefined;
    translateIn(undefined);
    releaseOwnName();
  };
}

/**
 * From now on stack traces name the lines of TypeScript that is imported. That holds for all of the process, and
 * costs each of its errors something: so it is for the owner of the process to say.
 */
export function mapSources(): void {
  mayMapSources = true;
}

/** Whether a specifier names a file, rather than a package. */
export function isFileSpecifier(specifier: string): boolean {
  return /^\.{1,2}([\\/]|$)/.test(specifier) || isAbsolute(specifier);
}

/**
 * Imports a module as a file in `fromDir` would.
 * @param specifier a package, a subpath of one (also of this package), or a path, with its extension
 * @throws Error that says which module, from where, and whether it is missing or failed by itself
 */
export async function importModule(specifier: string, fromDir: string): Promise<ImportedModule> {
  const ownUrl = OWN_URLS[specifier];
  try {
    if (ownUrl !== undefined) {
      return { module: await import(ownUrl), url: ownUrl };
    }
    const importer = await startImporter();
    const target = isFileSpecifier(specifier)
      ? pathToFileURL(toRealPath(resolve(fromDir, specifier))).href
      : specifier;
    const parentUrl = pathToFileURL(join(fromDir, IMPORTER)).href;
    const url = locate(specifier, fromDir);
    if (url.startsWith('file:')) refuseRemembered(fileURLToPath(url));
    const endLoad = beginLoad();
    const module = await required.during(() => importer.import(target, parentUrl)).finally(endLoad);
    return { module: withoutDoubleDefault(module), url };
  } catch (error) {
    throw new Error(failureToText(specifier, fromDir, error), { cause: error });
  }
}

/**
 * Loads a module at once, for configuration files. TypeScript and ES modules too,
 * as long as none awaits at its top level. It is read anew, with all that it requires.
 * @param path absolute
 * @throws whatever the module throws; SyntaxError
 */
export function requireModule(path: string): unknown {
  const namespace = `${NAMESPACE}-${crypto.randomUUID()}`;
  const register = loadCommonJsLoader();
  const api = registering(() => register({ namespace }));
  translateIn(namespace);
  const endLoad = beginLoad();
  try {
    refuseRemembered(path);
    const found = toRealPath(path);
    takeForOurs(found);
    return required.apart(() => api.require(found, found));
  } finally {
    endLoad();
    translateIn(stopCommonJs && NAMESPACE);
    registering(() => api.unregister());
    if (stopCommonJs === undefined) releaseOwnName();
  }
}

function locate(specifier: string, fromDir: string): string {
  if (isFileSpecifier(specifier)) {
    return pathToFileURL(resolve(fromDir, specifier)).href;
  }
  const packageName = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const modulesDirs = createRequire(join(fromDir, IMPORTER)).resolve.paths(packageName) ?? [];
  const found = modulesDirs.map((dir) => join(dir, packageName)).find((dir) => existsSync(dir));
  return found === undefined ? specifier : pathToFileURL(found).href;
}

/** A second copy of our own would bring second classes. */
function isOwnFile(path: string): boolean {
  return OWN_DIRECTORIES.some((directory) => path.startsWith(directory));
}

/**
 * What imports ES modules stays for the life of the process: it is asked about what bears its namespace and
 * nothing else, and an older Node.js can't take it back.
 */
async function startImporter(): Promise<NamespacedUnregister> {
  const registerEsm = await loadEsmLoader();
  const registerCommonJs = loadCommonJsLoader();
  if (importer !== undefined && stopCommonJs !== undefined) return importer;
  return registering(() => {
    if (importer === undefined) {
      importer = registerEsm({ namespace: NAMESPACE, tsconfig: false });
      answerImport();
    }
    // In a package that is not of type module a TypeScript file becomes CommonJS, which requires
    // what it imports.
    stopCommonJs ??= registerCommonJs({ namespace: NAMESPACE });
    translateIn(NAMESPACE);
    return importer;
  });
}

/** tsx switches source maps on for the whole process. */
function registering<T>(work: () => T): T {
  const { sourceMapsEnabled } = process;
  try {
    return beneathOwnName(work);
  } finally {
    if (!mayMapSources && process.sourceMapsEnabled !== sourceMapsEnabled) {
      process.setSourceMapsEnabled(sourceMapsEnabled);
    }
  }
}

/** A module that was translated to CommonJS shows its exports below `default` once more. */
function withoutDoubleDefault(module: Record<string, unknown>): Record<string, unknown> {
  const exported = module.default;
  return isRecord(exported) && exported.__esModule === true ? exported : module;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function failureToText(specifier: string, fromDir: string, error: unknown): string {
  const reason = failureToReason(error);
  const code = isRecord(error) ? String(error.code) : '';
  const isItself = reason.includes(`imported from ${join(fromDir, IMPORTER)}`);
  return NOT_FOUND_CODES.has(code) && isItself
    ? `module "${specifier}" was not found from ${fromDir}`
    : `module "${specifier}" (from ${fromDir}) failed while loading: ${reason}`;
}
