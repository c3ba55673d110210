/** The pages as they stand in the repository, and what is in them. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Page {
  /** Relative to the root, such as `docs/hooks.md`. */
  name: string;
  text: string;
}

export interface CodeBlock {
  language: string;
  /** The file that its first line names, such as `hooks/titles.ts`. */
  file: string | undefined;
  text: string;
}

export function readPage(name: string): Page {
  return { name, text: readFileSync(`${ROOT}${name}`, 'utf8') };
}

export const PAGES: readonly Page[] = [
  'README.md',
  ...readdirSync(`${ROOT}docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
].map(readPage);

export function codeBlocks({ text }: Page, language?: string): CodeBlock[] {
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .map(([, found = '', code = '']) => ({
      language: found,
      file: /^\/\/ (\S+\.\w+)\n/.exec(code)?.[1],
      text: code,
    }))
    .filter((block) => language === undefined || block.language === language);
}

/** The block that names this file in its first line. */
export function fileBlock(page: Page, file: string): string {
  const block = codeBlocks(page).find((candidate) => candidate.file === file);
  if (block === undefined) throw new Error(`${page.name} has no block of ${file}`);
  return block.text;
}

/** The commands of all shell blocks, without comments. */
export function commandsOf(page: Page): string[] {
  return codeBlocks(page, 'bash')
    .flatMap(({ text }) => text.split('\n'))
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line !== '');
}

/** Everything that isn't a code block. */
export function proseOf({ text }: Page): string {
  return text.replace(/^```\w*\n.*?^```$/gms, '');
}
