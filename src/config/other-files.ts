/** Files that were perhaps meant as the configuration, and are not read: said at the start, as a server without its configuration is open. */

import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { editDistance } from '../errors/edit-distance.ts';
import { CONFIG_FILE_NAMES } from './config-file.ts';

const OWN_FILES = CONFIG_FILE_NAMES.filter((name) => name !== 'package.json');
const TYPES = /\.(?:[cm]?[jt]s|jsonc?|json5|ya?ml|toml|ini|conf|env|rc)$/;
/** However it is written, with or without a word for what it is. */
const ALMOST = /^\.?sync[-_. ]?coordinator(?:[-_. ]?(?:config|conf|rc|settings|options))?$/;
/** Where other programs look. */
const OTHER_PLACES = ['.config', 'config', 'etc'];
const NEAR_MAX = 2;

/**
 * @param read the file that was found, if one was
 * @returns a line for each
 */
export function otherFileNotes(cwd: string, read: string | undefined): string[] {
  const inDirectory = namesIn(cwd).filter((name) => join(cwd, name) !== read && isAlmost(name));
  const elsewhere = [
    ...OTHER_PLACES.flatMap((place) =>
      namesIn(join(cwd, place))
        .filter(isAlmost)
        .map((name) => join(place, name)),
    ),
    ...(read === undefined ? inParents(cwd) : []),
  ];
  return [
    ...inDirectory.map((name) => `${name} is there, and is not read: ${whyNot(name, cwd, read)}`),
    ...elsewhere.map(
      (path) =>
        `${path} is there, and is not read: only ${cwd} is looked at; name it with --config`,
    ),
  ];
}

function whyNot(name: string, cwd: string, read: string | undefined): string {
  if (!OWN_FILES.some((own) => own === name)) return `did you mean ${nearest(name)}?`;
  return `${read === undefined ? 'another' : relative(cwd, read)} comes before it`;
}

function isAlmost(name: string): boolean {
  if (OWN_FILES.some((own) => own === name)) return true;
  return (
    ALMOST.test(name.toLowerCase().replace(TYPES, '')) ||
    editDistance(nearest(name), name) <= NEAR_MAX
  );
}

function nearest(name: string): string {
  const extension = TYPES.exec(name.toLowerCase())?.[0];
  const alike = OWN_FILES.filter((own) => extension !== undefined && own.endsWith(extension));
  const [best = ''] = (alike.length > 0 ? alike : OWN_FILES).toSorted(
    (a, b) => editDistance(a, name) - editDistance(b, name),
  );
  return best;
}

/** The nearest directory above that has one. */
function inParents(cwd: string): string[] {
  for (let directory = dirname(cwd); ; directory = dirname(directory)) {
    const found = OWN_FILES.filter((name) => existsSync(join(directory, name)));
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
