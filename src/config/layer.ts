/**
 * One source of configuration (a file, the environment, the flags, the overrides) as
 * the options it sets. Shorthands are written out, names are checked here; values
 * are checked by `resolve-config.ts`, for all sources alike.
 */

import { relative, resolve } from 'node:path';
import type { ConfigFault } from '../errors/config-error.ts';
import { editDistance } from '../errors/edit-distance.ts';
import { isFileSpecifier } from '../modules/import-module.ts';
import { PACKAGE_NAME } from '../modules/own-package.ts';
import { isPlainObject, kindToText } from '../options/plain-object.ts';
import { shorten, valueToText } from './option-display.ts';
import { CONFIG_OPTIONS, OPTION_GROUPS, OPTIONS_BY_PATH } from './options.ts';

export interface LayerEntry {
  path: string;
  value: unknown;
  /** Where it was said, for what is looked for from there. */
  baseDir?: string;
  /** As it was written, where it is a text that stands for a value. */
  text?: string;
  source: string;
}

export interface Layer {
  entries: LayerEntry[];
  faults: ConfigFault[];
}

/** What a group's own name may be set to, in short for one of its options. */
const SHORTHANDS: Readonly<
  Record<string, { path: string; matches: (value: unknown) => boolean; expected: string }>
> = {
  storage: {
    path: 'storage.url',
    matches: (value) => typeof value === 'string',
    expected: 'a store URL or an object of options',
  },
  hooks: {
    path: 'hooks.modules',
    matches: Array.isArray,
    expected: 'a list of modules or an object of options',
  },
};

const AN_OBJECT = 'an object of options';

function awaitHint(value: unknown): string {
  return kindToText(value) === 'a promise'
    ? '; a configuration is read at once, and awaits nothing'
    : '';
}

/** The layer of a file's content or of the overrides; paths of modules are relative to `baseDir`. */
export function inputToLayer(input: unknown, source: string, baseDir: string): Layer {
  const layer: Layer = { entries: [], faults: [] };
  if (!isPlainObject(input)) {
    const expected = `${AN_OBJECT}${awaitHint(input)}`;
    layer.faults.push({ source, name: 'the configuration', value: kindToText(input), expected });
    return layer;
  }
  addObject(layer, input, '', source);
  for (const entry of layer.entries) {
    entry.value = withAbsolutePaths(entry, baseDir);
    entry.baseDir = baseDir;
  }
  return layer;
}

/** The layer of texts by option (environment, flags). */
export function textsToLayer(
  texts: Iterable<{ path: string; text: string; source: string }>,
  baseDir: string,
): Layer {
  const entries = [...texts].map(({ path, text, source }) => {
    const value = OPTIONS_BY_PATH.get(path)?.parse(text);
    return { path, text, source, baseDir, value: withAbsolutePaths({ path, value }, baseDir) };
  });
  return { entries, faults: [] };
}

function addObject(layer: Layer, input: object, prefix: string, source: string): void {
  for (const [key, value] of Object.entries(input)) {
    const name = prefix === '' ? key : `${prefix}.${key}`;
    const shorthand = Object.hasOwn(SHORTHANDS, name) ? SHORTHANDS[name] : undefined;
    if (value === undefined) {
      continue;
    }
    if (OPTIONS_BY_PATH.has(name)) {
      layer.entries.push({ path: name, value, source });
    } else if (shorthand?.matches(value)) {
      layer.entries.push({ path: shorthand.path, value, source });
    } else if (!OPTION_GROUPS.includes(name)) {
      layer.faults.push({ source, name, value: undefined, expected: unknownToText(name) });
    } else if (isPlainObject(value)) {
      addObject(layer, value, name, source);
    } else {
      const expected = `${shorthand?.expected ?? AN_OBJECT}${awaitHint(value)}`;
      // What should be the group of the tokens may be a token, and an object does not show what it is.
      const isHidden = name === 'auth' || typeof value === 'object';
      const shown = isHidden ? kindToText(value) : shorten(valueToText(value));
      layer.faults.push({ source, name, value: shown, expected });
    }
  }
}

/** Files are named relative to the file that names them, and used from anywhere. */
function withAbsolutePaths({ path, value }: Omit<LayerEntry, 'source'>, baseDir: string): unknown {
  const toPath = (name: unknown) =>
    typeof name === 'string' && isFileSpecifier(name) ? resolve(baseDir, name) : name;
  if (path === 'storage.url') {
    return toPath(value);
  }
  if (path === 'auth.tokensFile' || path === 'storage.from') {
    return typeof value === 'string' ? resolve(baseDir, value) : value;
  }
  if (path === 'hooks.modules' && Array.isArray(value)) {
    return value.map((entry: unknown) => withPlace(entry, baseDir, toPath));
  }
  return value;
}

/**
 * A package is looked for from where it is named, which has to be said where that is not the
 * directory that the process works in.
 */
function withPlace(entry: unknown, baseDir: string, toPath: (name: unknown) => unknown): unknown {
  const isPlaced = isPlainObject(entry) && Object.hasOwn(entry, 'module');
  const [named, ...rest]: unknown[] = Array.isArray(entry) ? entry : [entry];
  const module = isPlaced ? entry.module : named;
  const isElsewhere = isPackage(module) && relative('.', baseDir) !== '';
  if (isPlaced) {
    const from = typeof entry.from === 'string' ? resolve(baseDir, entry.from) : entry.from;
    const place = {
      ...entry,
      module: toPath(module),
      from: from ?? (isElsewhere ? baseDir : undefined),
    };
    return Object.fromEntries(Object.entries(place).filter(([, member]) => member !== undefined));
  }
  if (Array.isArray(entry)) {
    if (!isElsewhere || entry.length !== 2) return [toPath(named), ...rest];
    return { module, options: rest[0], from: baseDir };
  }
  return isElsewhere ? { module, from: baseDir } : toPath(entry);
}

/** Whether it names a package of others, rather than a file or anything with a scheme. */
export function isPackage(module: unknown): boolean {
  if (typeof module !== 'string' || module === '' || isFileSpecifier(module)) return false;
  if (/^[a-z][a-z0-9+.-]*:/i.test(module)) return false;
  return module !== PACKAGE_NAME && !module.startsWith(`${PACKAGE_NAME}/`);
}

function unknownToText(name: string): string {
  const known = [...CONFIG_OPTIONS.map((option) => option.path), ...OPTION_GROUPS];
  const nearest = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .reduce((best, next) => (next.distance < best.distance ? next : best));
  const isNear = nearest.distance <= Math.max(2, name.length / 4);
  return `is not an option${isNear ? `; did you mean ${nearest.candidate}?` : ''}`;
}
