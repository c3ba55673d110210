/**
 * Files that hold secrets, and that others than their owner may read: the configuration, and a `.env` beside it
 * or in the working directory. The file of tokens is looked at by who reads it, with the same eyes.
 */

import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { isSecretVariable, maskUrl, secretsInOptions } from '../config/option-display.ts';
import type { ResolvedConfig } from '../config/resolve-config.ts';
import { readersOf } from '../hooks/builtin/file-readers.ts';
import { isHashedToken } from '../hooks/builtin/token-list.ts';

/** @returns a warning for each of them */
export async function exposedSecrets(resolved: ResolvedConfig, cwd: string): Promise<string[]> {
  const { filePath } = resolved;
  const warnings: string[] = [];
  const look = async (file: string, hasSecret: (text: string) => boolean) => {
    // What can't be looked at is not there, or has been refused already.
    const readers = await readersOf(file).catch(() => undefined);
    if (readers === undefined) return;
    const text = await readFile(file, 'utf8').catch(() => '');
    if (hasSecret(text))
      warnings.push(`${readers} may read the secrets in ${file}: chmod go-rwx ${file}`);
  };
  const secrets = secretsIn(resolved);
  if (filePath !== undefined) {
    await look(filePath, (text) => secrets.some((secret) => isWrittenIn(text, secret)));
  }
  const directories = new Set([
    resolve(cwd),
    ...(filePath === undefined ? [] : [dirname(filePath)]),
  ]);
  for (const directory of directories) await look(join(directory, '.env'), holdsSecretVariable);
  return warnings;
}

/** Those in effect, from any source: a configuration that is code may take them from elsewhere. */
function secretsIn({ config }: ResolvedConfig): string[] {
  const { auth, storage, hooks } = config;
  return [
    ...auth.tokens.filter((token) => !isHashedToken(token)),
    ...(maskUrl(storage.url) === storage.url ? [] : [storage.url]),
    ...secretsInOptions(hooks.modules),
  ];
}

/** As it is, or as JSON and JavaScript spell it. */
function isWrittenIn(text: string, secret: string): boolean {
  return secret !== '' && (text.includes(secret) || text.includes(JSON.stringify(secret)));
}

function holdsSecretVariable(text: string): boolean {
  return Object.entries(parseEnv(text)).some(([name, value = '']) => isSecretVariable(name, value));
}
