/**
 * Tokens as people list them, as the hashes that are compared: a token itself, or `sha256:` and
 * the hex digits of its hash, so that who reads the list can't use what stands there. A file has one
 * a line; empty lines and lines that begin with `#` don't count.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { readersOf } from './file-readers.ts';

const HASH_PREFIX = 'sha256:';
const HASH = /^sha256:([0-9a-f]{64})$/i;

export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** A token as it may stand in a list without being one. */
export function tokenToListed(token: string): string {
  return HASH_PREFIX + hashToken(token).toString('hex');
}

/** Whether it is of no use to who reads it. */
export function isHashedToken(listed: string): boolean {
  return HASH.test(listed);
}

/**
 * @param place where it stands, for an error, which must not quote it
 * @throws Error of a hash that is none
 */
export function listedToHash(listed: string, place: string): Buffer {
  const [, digits] = HASH.exec(listed) ?? [];
  if (digits !== undefined) return Buffer.from(digits, 'hex');
  if (!listed.startsWith(HASH_PREFIX)) return hashToken(listed);
  throw new Error(`${place} begins with ${HASH_PREFIX}, and is not followed by 64 hex digits`);
}

/**
 * The hashes of a file's tokens.
 * @param path relative to the working directory
 * @param warn is told who else may read it
 * @throws Error that names the file, and the line
 */
export async function readTokensFile(
  path: string,
  warn: (warning: string) => void,
): Promise<Buffer[]> {
  const file = resolve(path);
  const text = await readFile(file, 'utf8').catch((error: Error) => {
    throw new Error(`the file of tokens ${file} cannot be read: ${error.message}`);
  });
  const readers = await readersOf(file);
  if (readers !== undefined)
    warn(`${readers} may read the tokens in ${file}: chmod go-rwx ${file}`);
  const lines = text.replace(/^\uFEFF/, '').split('\n');
  return lines.flatMap((line, i) => {
    const listed = line.trim();
    if (listed === '' || listed.startsWith('#')) return [];
    return [listedToHash(listed, `line ${i + 1} of ${file}`)];
  });
}
