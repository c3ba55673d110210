/** The code blocks and the table of `design-excerpts.md`, to the letter. */

import { readFileSync } from 'node:fs';

const page = readFileSync(new URL('./design-excerpts.md', import.meta.url), 'utf8');

/** Each line of the shell that the design shows; one that goes on with `\` is one. */
export const COMMANDS = shellLines('npx ');
export const DEBUG_SETTINGS = shellLines('DEBUG=');
export const NAMESPACES = [...page.matchAll(/^\| `(.*?)` \|/gm)].map(([, name = '']) => name);
export const SNIPPET = blocks('typescript').join('\n');

function blocks(language: string): string[] {
  const pattern = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms');
  return [...page.matchAll(pattern)].map(([, text = '']) => text);
}

function shellLines(start: string): string[] {
  const lines = blocks('bash')
    .join('\n')
    .split(/(?<!\\)\n/);
  return lines.filter((line) => line.startsWith(start));
}
