/**
 * A resolve hook of Node's module loader (it runs in the loader's own thread): in
 * modules of our namespace the name of this package means this installation. It
 * touches nothing else of the process.
 */

import type { InitializeHook, ResolveHook } from 'node:module';

export interface OwnPackageHookData {
  namespace: string;
  ownUrls: Readonly<Record<string, string>>;
}

let data: OwnPackageHookData = { namespace: '', ownUrls: {} };

export const initialize: InitializeHook<OwnPackageHookData> = (given) => {
  data = given;
};

export const resolve: ResolveHook = (specifier, context, nextResolve) => {
  const url = data.ownUrls[specifier];
  const isOurs = context.parentURL?.includes(`namespace=${data.namespace}`);
  return url !== undefined && isOurs
    ? { url, format: 'module', shortCircuit: true }
    : nextResolve(specifier, context);
};
