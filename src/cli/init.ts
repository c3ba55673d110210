/**
 * `sync-coordinator init`: asks three questions and writes a configuration and a first hook. It
 * writes over nothing, and either all files or none.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { PACKAGE_NAME } from '../modules/own-package.ts';
import { DIRECTORY_MODE, FILE_MODE } from '../storage/leveldb/modes.ts';
import { type FirstHook, HOOKS, type InitOptions } from './init-flags.ts';
import { type AuthMode, CONFIG_NAME, filesFor, type InitAnswers } from './init-templates.ts';

const AUTH_MODES: readonly AuthMode[] = ['token-whitelist', 'custom', 'none'];
const DATA_DIR = './.data';
const TOKEN_BYTES = 24;

interface Streams {
  input: NodeJS.ReadableStream & { isTTY?: boolean };
  output: NodeJS.WritableStream;
}

/** @throws Error that says which file is in the way, or which flag is wrong */
export async function init(
  directory: string,
  options: InitOptions,
  streams: Streams = { input: process.stdin, output: process.stdout },
): Promise<void> {
  const given = readFlags(options);
  const asks = streams.input.isTTY === true && options.yes !== true;
  const answers = { ...DEFAULTS, ...given, ...(asks ? await ask(given, streams) : {}) };
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const files = filesFor({ ...answers, token });
  const root = resolve(directory);
  const taken = Object.keys(files).filter((name) => existsSync(join(root, name)));
  if (taken.length > 0) {
    throw new Error(`${taken.join(' and ')} is there already; nothing was written`);
  }
  const hasToken = answers.authMode === 'token-whitelist';
  for (const [name, text] of Object.entries(files)) {
    const directory = dirname(join(root, name));
    mkdirSync(directory, { recursive: true, ...(hasToken && { mode: DIRECTORY_MODE }) });
    const isSecret = name === CONFIG_NAME && hasToken;
    writeFileSync(join(root, name), text, { flag: 'wx', ...(isSecret && { mode: FILE_MODE }) });
  }
  const place = relative(process.cwd(), root);
  const enter = place === '' ? '' : `cd ${place} && `;
  streams.output.write(
    [
      ...Object.keys(files).map((name) => `wrote ${join(place, name)}`),
      `see what is in effect: ${enter}npx ${PACKAGE_NAME} check`,
      `start the server:      ${enter}npx ${PACKAGE_NAME}`,
      '',
    ].join('\n'),
  );
}

const DEFAULTS: InitAnswers = { authMode: 'token-whitelist', dataDir: DATA_DIR, hook: 'log' };

function readFlags({ authMode, dataDir, hook }: InitOptions): Partial<InitAnswers> {
  const known = AUTH_MODES.find((mode) => mode === authMode);
  if (authMode !== undefined && known === undefined) {
    throw new Error(`flag --auth-mode: was "${authMode}", may be one of ${AUTH_MODES.join(', ')}`);
  }
  return {
    ...(known && { authMode: known }),
    ...(dataDir && { dataDir }),
    ...(hook && { hook }),
  };
}

/** Asks what no flag has said. An empty answer takes the first choice. */
async function ask(
  given: Partial<InitAnswers>,
  { input, output }: Streams,
): Promise<Partial<InitAnswers>> {
  const lines = createInterface({ input, output });
  const choose = async <T extends string>(question: string, choices: readonly T[]): Promise<T> => {
    for (;;) {
      const [first] = choices;
      const text = (await lines.question(`${question} (${choices.join(', ')}) [${first}] `)).trim();
      const choice = choices.find((one) => one === (text === '' ? first : text));
      if (choice !== undefined) return choice;
      output.write(`one of ${choices.join(', ')}, please\n`);
    }
  };
  try {
    const answers: Partial<InitAnswers> = {};
    if (given.authMode === undefined) {
      answers.authMode = await choose<AuthMode>('Who may connect?', AUTH_MODES);
    }
    if (given.dataDir === undefined) {
      const text = await lines.question(`Where is the data kept? [${DATA_DIR}] `);
      answers.dataDir = text.trim() || DATA_DIR;
    }
    if (given.hook === undefined) {
      answers.hook = await choose<FirstHook>('What is the first hook for?', HOOKS);
    }
    return answers;
  } finally {
    lines.close();
  }
}
