/**
 * Makes the name of this package mean this installation, wherever it is imported or required in
 * the process. Loaders that are registered later would be asked first, and take what we answer for
 * a file of theirs: so they are registered beneath this.
 */

import Module, { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { OWN_URLS, SOURCE_EXTENSION } from './own-package.ts';
import { type OwnPackageHookData, resolveOwn } from './own-package-hook.ts';

/** What the types of the oldest supported Node.js leave out; tsx and many others stand on it. */
interface Resolvers {
  /** Of `import` and `require`, in the thread that asks; since Node.js 22.15. */
  registerHooks?(hooks: { resolve: ResolveSync }): { deregister(): void };
  /** Of `require` alone. */
  _resolveFilename(request: string, ...rest: unknown[]): string;
}

type ResolveSync = (...args: SyncArguments) => unknown;
type Context = Parameters<typeof resolveOwn>[2];
type SyncArguments = [string, Context, (specifier: string, context: Context) => unknown];

const resolvers = Module as unknown as Resolvers;
const data: OwnPackageHookData = { ownUrls: OWN_URLS };

/** Takes it back; `undefined` where nothing is in force. */
let stop: (() => void) | undefined;

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
  register<OwnPackageHookData>(`./own-package-hook${SOURCE_EXTENSION}`, import.meta.url, { data });
}

function answerAll({ registerHooks }: Resolvers): (() => void) | undefined {
  const hooks = registerHooks?.({ resolve: (...args) => resolveOwn(data, ...args) });
  return () => hooks?.deregister();
}

function answerRequire(): () => void {
  const original = resolvers._resolveFilename;
  const answer: Resolvers['_resolveFilename'] = function (this: unknown, request, ...rest) {
    const url = Object.hasOwn(OWN_URLS, request) ? OWN_URLS[request] : undefined;
    return url === undefined ? original.call(this, request, ...rest) : fileURLToPath(url);
  };
  resolvers._resolveFilename = answer;
  return () => {
    // Whoever has come over it in the meantime stays, and asks it.
    if (resolvers._resolveFilename === answer) resolvers._resolveFilename = original;
  };
}
