/**
 * Reads lists of tokens as hashes. An entry is a token, or `sha256:` and the hex digits of its
 * hash, which is of no use to a reader of the list. A file has one entry a line; empty lines and
 * lines that begin with `#` are ignored.
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

/** The hashed form of a token for a list. */
export function tokenToListed(token: string): string {
  return HASH_PREFIX + hashToken(token).toString('hex');
}

/** Whether an entry has the hashed form. */
export function isHashedToken(listed: string): boolean {
  return HASH.test(listed);
}

/**
 * @param place where the entry is, for the error, which must not quote the entry
 * @throws Error for an invalid hash
 */
export function listedToHash(listed: string, place: string): Buffer {
  const [, digits] = HASH.exec(listed) ?? [];
  if (digits !== undefined) return Buffer.from(digits, 'hex');
  if (!listed.startsWith(HASH_PREFIX)) return hashToken(listed);
  throw new Error(`${place} begins with ${HASH_PREFIX}, and is not followed by 64 hex digits`);
}

/**
 * Reads the hashes of a file's tokens.
 * @param path relative to the working directory
 * @param warn called if others may read the file
 * @throws Error, which names the file and the line
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
