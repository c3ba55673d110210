/**
 * Makes the name of this package mean this installation, in the files that were loaded for us: hook modules,
 * storages and configurations, and what they bring in. The embedding app's own imports mean what
 * they meant. Loaders that are registered later would be asked first, and take what we answer for
 * a file of theirs: so they are registered beneath this.
 */

import { existsSync } from 'node:fs';
import Module, {
  createRequire,
  type ResolveFnOutput,
  type ResolveHookContext,
  register,
} from 'node:module';
import { basename, isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { searchNow, searchSync } from './found-now.ts';
import { ImportedFiles, isMarked, toPath } from './imported-files.ts';
import { needsTranslation } from './module-syntax.ts';
import { OWN_URLS, SOURCE_EXTENSION } from './own-package.ts';
import { answerOwn, fromFile, type OwnPackageHookData } from './own-package-hook.ts';
import { toRealRequest } from './real-path.ts';
import { refuseChanged } from './remembered-packages.ts';

/** What the types of the oldest supported Node.js leave out; tsx and many others stand on it. */
interface Resolvers {
  /** Of `import` and `require`, in the thread that asks; since Node.js 22.15. */
  registerHooks?(hooks: { resolve: ResolveSync }): { deregister(): void };
  /** Of `require` alone. */
  /** What `require` has found, by what was asked for from where. */
  _pathCache: Record<string, string>;
  _resolveFilename(request: string, parent?: NodeJS.Module | null, ...rest: unknown[]): string;
}

type ResolveSync = (
  specifier: string,
  context: ResolveHookContext,
  nextResolve: (specifier: string, context: ResolveHookContext) => ResolveFnOutput,
) => ResolveFnOutput;

const resolvers = Module as unknown as Resolvers;

const requireFromHere = createRequire(import.meta.url);
const files = new ImportedFiles();
/** Whether who answers `import`, in a thread of its own, and who answers `require` hear of each other. */
let isConnected = false;

/** Takes it back; `undefined` where nothing is in force. */
let stop: (() => void) | undefined;

/** Whose translations what CommonJS requires is to come from. */
let translatedIn: string | undefined;

/** How many loads of ours are under way. */
let loads = 0;

/** What was required by `createRequire`, in the name of a module of ours or of no module at all. */
export const requiredApart = new Set<string>();

/** From now on modules are found under other addresses than before. */
export function beginGeneration(): void {
  files.beginGeneration();
  const { _pathCache: found } = resolvers;
  for (const [request, path] of Object.entries(found)) {
    if (files.has(path)) delete found[request];
  }
}

/**
 * Until it is ended, what is required in the name of a file that is no module is for us.
 * @returns ends it
 */
export function beginLoad(): () => void {
  loads++;
  return () => loads--;
}

/** A file that is loaded for us without being asked for by another one. */
export function takeForOurs(path: string): void {
  files.add(path);
}

/** @throws Error where a package from which something was found has changed in what Node.js reads once */
export function refuseChangedPackages(): void {
  files.receive();
  refuseChanged();
}

/** What CommonJS of ours requires, and has to be translated, is so by the loader of that namespace. */
export function translateIn(namespace: string | undefined): void {
  translatedIn = namespace;
}

/** Registers loaders, or takes them away, with the name put over what there is then. */
export function beneathOwnName<T>(work: () => T): T {
  releaseOwnName();
  try {
    return work();
  } finally {
    stop = resolvers.registerHooks === undefined ? answerRequire() : answerAll(resolvers);
  }
}

/** From then on the name means what Node.js makes of it. */
export function releaseOwnName(): void {
  stop?.();
  stop = undefined;
}

/**
 * For `import`, where that is answered in a thread of its own: to be called after each loader that
 * is registered, and not taken back.
 */
export function answerImport(): void {
  if (resolvers.registerHooks !== undefined) return;
  const port = isConnected ? undefined : connect();
  register<OwnPackageHookData>(`./own-package-hook${SOURCE_EXTENSION}`, import.meta.url, {
    data: { ownUrls: OWN_URLS, port },
    transferList: port && [port],
  });
}

function connect(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  files.connect(port1);
  isConnected = true;
  return port2;
}

function answerAll({ registerHooks }: Resolvers): (() => void) | undefined {
  const resolve: ResolveSync = (specifier, context, nextResolve) => {
    const isOurs =
      files.isAskedBy(context.parentURL, specifier) ||
      (isRequired(context) && isAskedApart(context.parentURL));
    if (!isOurs) return nextResolve(specifier, context);
    const answer = answerOwn(OWN_URLS, specifier);
    if (answer !== undefined) return answer;
    const asked = fromFile(context);
    const parent = asked.parentURL ?? '';
    if (isRequired(context)) {
      const find = (request: string) => nextResolve(request, asked);
      return findRequired(specifier, parent, find, ({ url }) => url);
    }
    const { steps, toOwn } = files.search<ResolveFnOutput>(specifier, parent);
    const found = searchSync(steps, (request) => nextResolve(toOwn(request), asked));
    files.add(found.url, found.format);
    return { ...found, url: files.toOwnAddress(found.url, parent) };
  };
  const hooks = registerHooks?.({ resolve });
  return () => hooks?.deregister();
}

function answerRequire(): () => void {
  const original = resolvers._resolveFilename;
  const answer: Resolvers['_resolveFilename'] = function (this: unknown, request, parent, ...rest) {
    const find = (asked: string) => original.call(this, asked, parent, ...rest);
    const { filename } = parent ?? {};
    if (!files.isAskedBy(filename, request) && !isAskedApart(filename)) return find(request);
    const own = answerOwn(OWN_URLS, request);
    if (own !== undefined) return fileURLToPath(own.url);
    return findRequired(request, filename ?? '', find, (found) => found);
  };
  resolvers._resolveFilename = answer;
  return () => {
    // If other code has replaced it meanwhile, that stays in place and calls it.
    if (resolvers._resolveFilename === answer) resolvers._resolveFilename = original;
  };
}

/** What CommonJS of ours requires, where that is now; translated, where it could not be read anew otherwise. */
function findRequired<Found>(
  request: string,
  parent: string,
  find: (request: string) => Found,
  addressOf: (found: Found) => string,
): Found {
  const from = toPath(parent);
  const real = toRealRequest(request, from);
  const [, query] = isAbsolute(real) ? real.split('?') : [];
  const search = searchNow<Found>({
    request: real,
    parent: from,
    toRequest: (now) => (query === undefined ? now : `${now}?${query}`),
    pathOf: (answer) => toPath(addressOf(answer)),
    tell: files.tell,
  });
  const found = searchSync(search, find);
  const path = toPath(addressOf(found));
  files.add(path);
  if (isAskedApart(parent)) requiredApart.add(path);
  const isPlain = translatedIn !== undefined && isAbsolute(path) && !isMarked(parent);
  if (!isPlain || !needsTranslation(path)) return found;
  return find(`${path}?namespace=${translatedIn}`);
}

/** Whether it is asked for by a `require` that `createRequire` has made for us. */
function isAskedApart(parent: string | undefined): boolean {
  const path = toPath(parent ?? '');
  if (files.isModule(path)) return true;
  const isNoModule = basename(path) === 'package.json' || !existsSync(path);
  return loads > 0 && isNoModule && !Object.hasOwn(requireFromHere.cache, path);
}

function isRequired({ conditions }: ResolveHookContext): boolean {
  return conditions.includes('require') && !conditions.includes('import');
}
