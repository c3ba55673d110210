/** `sync-coordinator hash-token`: what may stand in a list for a token that is not to be read there. */

import { text } from 'node:stream/consumers';
import { tokenToListed } from '../hooks/builtin/token-list.ts';

interface Streams {
  input: NodeJS.ReadableStream & { isTTY?: boolean };
  output: NodeJS.WritableStream;
}

/** @throws Error unless one token comes, on one line */
export async function hashToken(
  { input, output }: Streams = { input: process.stdin, output: process.stdout },
): Promise<void> {
  // A flag could be read by others, and typed it would be seen.
  if (input.isTTY === true) {
    throw new Error('give it the token on stdin, such as: openssl rand -base64 32 | tee token | …');
  }
  const given = (await text(input)).trim();
  if (given === '') throw new Error('there is no token on stdin');
  if (/[\r\n]/.test(given))
    throw new Error('there is more than one line on stdin: give it one token');
  output.write(`${tokenToListed(given)}\n`);
}
