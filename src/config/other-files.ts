/** Files that were perhaps meant as the configuration, and are not read: said at the start, as a server without its configuration is open. */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { editDistance } from '../errors/edit-distance.ts';
import { PACKAGE_NAME } from '../modules/own-package.ts';
import { CONFIG_FILE_NAMES } from './config-file.ts';
import type { Environment } from './environment.ts';

const OWN_FILES = CONFIG_FILE_NAMES.filter((name) => name !== 'package.json');
const TYPES = /\.(?:[cm]?[jt]s|jsonc?|json5|ya?ml|toml|ini|conf|env|rc)$/;
/** However it is written, with or without a word for what it is. */
const ALMOST = /^\.?sync[-_. ]?coordinator(?:[-_. ]?(?:config|conf|rc|settings|options))?$/;
/** What people append to a file that they put aside, and editors to one that they write. */
const APPENDED = /(?:\.(?:txt|bak|old|orig|save|disabled)|~)$/;
/** Where other programs look. */
const OTHER_PLACES = ['.config', 'config', 'etc', 'src'];
/** A directory of its own within `.config`, as programs of the desktop have. */
const OWN_PLACE = join('.config', PACKAGE_NAME);
const ENV_BYTES_MAX = 64 * 1024;
const SETS_VARIABLE = /^(?:export )?(SYNC_[A-Z0-9_]+)=/;
const NEAR_MAX = 2;

/**
 * @param read the file that was found, if one was
 * @param env what is set
 * @returns a line for each
 */
export function otherFileNotes(cwd: string, read: string | undefined, env: Environment): string[] {
  const inDirectory = namesIn(cwd).filter((name) => join(cwd, name) !== read && isAlmost(name));
  const elsewhere = [
    ...OTHER_PLACES.flatMap((place) =>
      namesIn(join(cwd, place))
        .filter(isAlmost)
        .map((name) => join(place, name)),
    ),
    ...namesIn(join(cwd, OWN_PLACE))
      .filter((name) => TYPES.test(name))
      .map((name) => join(OWN_PLACE, name)),
    ...(read === undefined ? inParents(cwd) : []),
  ];
  return [
    ...inDirectory.map((name) => `${name} is there, and is not read: ${whyNot(name, cwd, read)}`),
    ...elsewhere.map(
      (path) =>
        `${path} is there, and is not read: only ${cwd} is looked at; name it with --config`,
    ),
    ...(read === undefined ? packageKeyNotes(cwd) : []),
    ...dotEnvNotes(cwd, env),
  ];
}

/** A key of `package.json` that is almost ours. */
function packageKeyNotes(cwd: string): string[] {
  const almost = keysOf(join(cwd, 'package.json')).filter(
    (key) => key !== PACKAGE_NAME && ALMOST.test(key.toLowerCase()),
  );
  return almost.map(
    (key) => `package.json has "${key}", which is not read: did you mean "${PACKAGE_NAME}"?`,
  );
}

/** Other programs load it, so who has written one counts on it. */
function dotEnvNotes(cwd: string, env: Environment): string[] {
  const name = readIfSmall(join(cwd, '.env'))
    .split('\n')
    .map((line) => SETS_VARIABLE.exec(line.trimStart())?.[1] ?? '')
    .find((variable) => variable !== '' && !env[variable]);
  if (name === undefined) return [];
  return [
    `.env sets ${name}, which is not set here: .env is not read; set it in the environment, or start with node --env-file=.env`,
  ];
}

function keysOf(manifest: string): string[] {
  try {
    return Object.keys(Object(JSON.parse(readFileSync(manifest, 'utf8'))));
  } catch {
    return [];
  }
}

function readIfSmall(path: string): string {
  try {
    return statSync(path).size <= ENV_BYTES_MAX ? readFileSync(path, 'utf8') : '';
  } catch {
    return '';
  }
}

function whyNot(name: string, cwd: string, read: string | undefined): string {
  if (!OWN_FILES.some((own) => own === name)) return `did you mean ${nearest(name)}?`;
  return `${read === undefined ? 'another' : relative(cwd, read)} comes before it`;
}

function isAlmost(name: string): boolean {
  if (OWN_FILES.some((own) => own === name)) return true;
  return (
    ALMOST.test(name.toLowerCase().replace(APPENDED, '').replace(TYPES, '')) ||
    editDistance(nearest(name), name) <= NEAR_MAX
  );
}

function nearest(name: string): string {
  const extension = TYPES.exec(name.toLowerCase().replace(APPENDED, ''))?.[0];
  const alike = OWN_FILES.filter((own) => extension !== undefined && own.endsWith(extension));
  const [best = ''] = (alike.length > 0 ? alike : OWN_FILES).toSorted(
    (a, b) => editDistance(a, name) - editDistance(b, name),
  );
  return best;
}

/** The nearest directory above that has one. */
function inParents(cwd: string): string[] {
  for (let directory = dirname(cwd); ; directory = dirname(directory)) {
    const found: string[] = OWN_FILES.filter((name) => existsSync(join(directory, name)));
    if (keysOf(join(directory, 'package.json')).includes(PACKAGE_NAME)) found.push('package.json');
    if (found.length > 0) return found.map((name) => relative(cwd, join(directory, name)));
    if (directory === dirname(directory)) return [];
  }
}

function namesIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}
