/**
 * A resolve hook of Node's module loader: the name of this package means this installation, and
 * what tsx has translated to CommonJS may import at run time. Where Node.js has no hooks but those
 * that run in a thread of their own, this file is loaded there; else in the main thread.
 */

import type { InitializeHook, ResolveHook, ResolveHookContext } from 'node:module';
import { pathToFileURL } from 'node:url';

export interface OwnPackageHookData {
  /** Files by what they are imported as. */
  ownUrls: Readonly<Record<string, string>>;
}

/** Where tsx notes the file, in the address of what it has translated. */
const TRANSLATED = /^data:text\/javascript,.*\?filePath=([^#&]*)/s;

export function resolveOwn<Resolved>(
  { ownUrls }: OwnPackageHookData,
  specifier: string,
  context: ResolveHookContext,
  nextResolve: (specifier: string, context: ResolveHookContext) => Resolved,
): Resolved | { url: string; format: 'json' | 'module'; shortCircuit: true } {
  const url = Object.hasOwn(ownUrls, specifier) ? ownUrls[specifier] : undefined;
  if (url !== undefined) {
    const format = url.endsWith('.json') ? 'json' : 'module';
    return { url, format, shortCircuit: true };
  }
  const [, file] = TRANSLATED.exec(context.parentURL ?? '') ?? [];
  return nextResolve(
    specifier,
    file === undefined ? context : { ...context, parentURL: toFileUrl(decodeURIComponent(file)) },
  );
}

/** Nothing can be found from the address of the translation itself. */
function toFileUrl(translated: string): string {
  const [path = '', query = ''] = translated.split('?');
  const namespace = new URLSearchParams(query).get('namespace');
  const url = pathToFileURL(path);
  if (namespace !== null) url.searchParams.set('tsx-namespace', namespace);
  return url.href;
}

let data: OwnPackageHookData = { ownUrls: {} };

export const initialize: InitializeHook<OwnPackageHookData> = (given) => {
  data = given;
};

export const resolve: ResolveHook = (specifier, context, nextResolve) =>
  resolveOwn(data, specifier, context, nextResolve);
