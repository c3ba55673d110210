/**
 * A resolve hook of Node's module loader, for the files that were loaded for us: the name of this package
 * means this installation, and what tsx has translated to CommonJS may import at run time. Where Node.js
 * has no hooks but those that run in a thread of their own, this file is loaded there; else in the
 * main thread.
 */

import type { InitializeHook, ResolveFnOutput, ResolveHook, ResolveHookContext } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { MessagePort } from 'node:worker_threads';
import { searchAsync } from './found-now.ts';
import { ImportedFiles, translatedFile } from './imported-files.ts';

export interface OwnPackageHookData {
  /** Files by what they are imported as. */
  ownUrls: Readonly<Record<string, string>>;
  /** Given once. */
  port?: MessagePort;
}

export interface Answer {
  url: string;
  format: 'json' | 'module';
  shortCircuit: true;
}

/** What is to be answered where our name is asked for. */
export function answerOwn(
  ownUrls: OwnPackageHookData['ownUrls'],
  specifier: string,
): Answer | undefined {
  const url = Object.hasOwn(ownUrls, specifier) ? ownUrls[specifier] : undefined;
  const format = url?.endsWith('.json') ? 'json' : 'module';
  return url === undefined ? undefined : { url, format, shortCircuit: true };
}

/** Nothing can be found from the address of a translation itself. */
export function fromFile(context: ResolveHookContext): ResolveHookContext {
  const file = translatedFile(context.parentURL ?? '');
  if (file === undefined) return context;
  const [path = '', query = ''] = file.split('?');
  const noted = new URLSearchParams(query);
  const url = pathToFileURL(path);
  for (const [name, value] of noted) {
    url.searchParams.set(name === 'namespace' ? 'tsx-namespace' : name, value);
  }
  return { ...context, parentURL: url.href };
}

let ownUrls: OwnPackageHookData['ownUrls'] = {};
const files = new ImportedFiles();

export const initialize: InitializeHook<OwnPackageHookData> = (given) => {
  ownUrls = given.ownUrls;
  if (given.port !== undefined) files.connect(given.port);
};

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  if (!files.isAskedBy(context.parentURL, specifier)) return nextResolve(specifier, context);
  const answer = answerOwn(ownUrls, specifier);
  if (answer !== undefined) return answer;
  const asked = fromFile(context);
  const parent = asked.parentURL ?? '';
  const { steps, toOwn } = files.search<ResolveFnOutput>(specifier, parent);
  const found = await searchAsync(steps, (request) => nextResolve(toOwn(request), asked));
  files.add(found.url, found.format);
  return { ...found, url: files.toOwnAddress(found.url, parent) };
};
