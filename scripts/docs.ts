/**
 * Writes the reference pages that are made from code, so that the two can't disagree:
 * `tsx scripts/docs.ts`. With `--check` it only says which differ, and fails.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { CONFIG_OPTIONS, type ConfigOption } from '../src/config/options.ts';
import { ERROR_CODES, type ErrorCode } from '../src/errors.ts';

interface Column<Row> {
  title: string;
  textOf(row: Row): string;
}

const OPTION_COLUMNS: readonly Column<ConfigOption>[] = [
  { title: 'Option', textOf: ({ path }) => `\`${path}\`` },
  { title: 'Type', textOf: ({ type }) => type },
  { title: 'Default', textOf: ({ initialText }) => initialText },
  { title: 'Environment', textOf: ({ env }) => `\`${env}\`` },
  { title: 'Flag', textOf: ({ flag }) => `\`${flag}\`` },
  { title: 'Meaning', textOf: optionToMeaning },
];

/** A column more (a status, a close code) is an entry more. */
const ERROR_COLUMNS: readonly Column<ErrorCode>[] = [
  { title: 'Code', textOf: (code) => `\`${code}\`` },
  { title: 'Meaning', textOf: (code) => ERROR_CODES[code] },
];

/** A page more is an entry more. */
const PAGES: Readonly<Record<string, () => string>> = {
  'docs/configuration.md': configurationPage,
  'docs/errors.md': errorsPage,
};

const NOTICE =
  '<!-- Made by `npm run docs`: change scripts/docs.ts or the source it reads, not this. -->';

function optionToMeaning({ description, type, expected }: ConfigOption): string {
  const isRanged = type === 'integer';
  return isRanged
    ? `${description} From ${expected.replace('an integer from ', '')}.`
    : description;
}

function toTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const toLine = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [
    toLine(columns.map(({ title }) => title)),
    toLine(columns.map(() => '---')),
    ...rows.map((row) => toLine(columns.map((column) => column.textOf(row)))),
  ].join('\n');
}

function configurationPage(): string {
  return `# Configuration

${NOTICE}

Nothing has to be configured: \`npx sync-coordinator\` serves on port 3000 from \`./.data\`. What is set is taken from
these sources, each winning over those after it:

1. \`overrides\` of \`loadConfig()\`, for programs that embed the coordinator
2. flags
3. environment variables; one that is set to nothing counts as not set
4. one configuration file
5. the defaults

\`sync-coordinator check\` (with the same flags and environment) prints every value, where it came from and which hooks
run, and starts nothing. It exits with 1 and all that is wrong where something is. Tokens, and passwords in URLs, are masked.

## The file

\`--config <path>\` names it. Otherwise the first of these in the working directory is read, and no directory above it
is looked at: \`sync-coordinator.config.ts\`, \`.mts\`, \`.js\`, \`.mjs\`, \`.cjs\`, \`.json\`, then
\`sync-coordinator.json\`, then the key \`sync-coordinator\` of \`package.json\`.

\`\`\`ts
// sync-coordinator.config.ts
import { defineConfig } from 'sync-coordinator';

export default defineConfig({
  port: 8080,
  storage: 'leveldb:/var/lib/sync',
  cors: { origin: ['https://app.example.com'] },
  auth: { mode: 'custom' },
  hooks: ['./hooks/jwt.ts', ['@acme/sync-hooks-audit', { table: 'audit' }]],
});
\`\`\`

TypeScript needs no build step and no \`typescript\` package, and nothing is written beside the file. A configuration is
read at once, so its module can't \`await\` at its top level. The same as JSON:

\`\`\`json
{ "port": 8080, "storage": "leveldb:/var/lib/sync", "auth": { "mode": "token-whitelist" } }
\`\`\`

Two options have a short form: \`storage\` may be the text of \`storage.url\`, and \`hooks\` the list of \`hooks.modules\`.
Paths of modules are relative to the file that names them; \`dataDir\` and \`leveldb:\` paths to the working directory.
A name that is no option is refused, and so is a value out of its range.

## The environment and the flags

\`\`\`bash
SYNC_AUTH_MODE=token-whitelist SYNC_AUTH_TOKENS=token1,token2 npx sync-coordinator --port 8080 --log-level debug
\`\`\`

Lists are comma-separated; booleans are \`true\`, \`false\`, \`1\` or \`0\`. Tokens are better given in the environment than as a
flag, which other users of the machine can see. \`DEBUG\` (\`DEBUG=sync-coordinator:ws,sync-coordinator:*:error\`) decides
what is logged whatever the \`logging\` options say, and adds the stack to a failed start.

## From code

\`loadConfig()\` is synchronous and throws a \`ConfigError\`, whose \`faults\` say for each wrong value who gave it, what it
was and what it may be.

\`\`\`ts
import { createCoordinatorServer, loadConfig } from 'sync-coordinator';

const config = loadConfig({ overrides: { port: 3000, cors: { origin: ['https://myapp.com'] } } });
const server = await createCoordinatorServer({ config });
await server.start();
\`\`\`

## All options

${toTable(OPTION_COLUMNS, CONFIG_OPTIONS)}
`;
}

function errorsPage(): string {
  return `# Errors

${NOTICE}

An error that a client receives has one of these codes. They are added, never renamed.

${toTable(ERROR_COLUMNS, Object.keys(ERROR_CODES).filter(isErrorCode))}
`;
}

function isErrorCode(name: string): name is ErrorCode {
  return Object.hasOwn(ERROR_CODES, name);
}

function readIfThere(url: URL): string | undefined {
  try {
    return readFileSync(url, 'utf8');
  } catch {
    return undefined;
  }
}

const isCheck = process.argv.includes('--check');
for (const [name, makePage] of Object.entries(PAGES)) {
  const url = new URL(`../${name}`, import.meta.url);
  const page = makePage();
  if (!isCheck) {
    writeFileSync(url, page);
  } else if (readIfThere(url) !== page) {
    process.stderr.write(`${name} is not what its source says: run npm run docs\n`);
    process.exitCode = 1;
  }
}
