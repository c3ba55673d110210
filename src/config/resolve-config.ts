/**
 * Puts the sources of configuration over one another and checks the whole: defaults,
 * the file, the environment, the flags, the overrides, each winning over those before.
 * The only place, with `own-package.ts`, that knows of the process around it.
 */

import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { Parse } from 'typebox/value';
import { ConfigError, type ConfigFault } from '../errors/config-error.ts';
import { namesOurs } from '../logging/own-namespaces.ts';
import { isAddressRange } from './address-range.ts';
import { readConfigFile } from './config-file.ts';
import { type Environment, environmentLayer, environmentNotes } from './environment.ts';
import { inputToLayer, isPackage, type Layer, type LayerEntry, textsToLayer } from './layer.ts';
import { optionToText, shorten } from './option-display.ts';
import { CONFIG_OPTIONS, OPTIONS_BY_PATH } from './options.ts';
import { originPatternFault } from './origin-pattern.ts';
import { otherFileNotes } from './other-files.ts';
import { ConfigSchema, type CoordinatorConfig, type CoordinatorConfigInput } from './schema.ts';

export interface LoadConfigOptions {
  /** What the program itself demands; wins over everything. */
  overrides?: CoordinatorConfigInput;
  /** A configuration file, instead of the first that is found in `cwd`. */
  configPath?: string;
  /** Where a file is looked for and relative paths start. Default: the working directory. */
  cwd?: string;
  /** Default: `process.env`. */
  env?: Environment;
  /** Texts from the command line by flag, with its dashes: `{ '--port': '8080' }`. */
  flags?: Environment;
}

export interface ResolvedConfig {
  config: CoordinatorConfig;
  /** Who decided each option, by its path: `default`, `file <path>`, `env SYNC_PORT`, `flag --port`, `override`. */
  sources: Map<string, string>;
  /** The configuration file that was read, absolute. */
  filePath?: string;
  /** What looks like a source of configuration, and was passed over. */
  notes: string[];
}

/** It may be set for another program, to which it is a switch. */
const NO_DEBUG = /^(?:0|false|no|off|)$/i;

/** `debug` itself writes this variable when logging is switched on, so it is read before that. */
const STARTED_WITH_DEBUG = process.env.DEBUG;

/** What `DEBUG` decides where it names ours: then it wins over everything, as with all that logs through `debug`. */
const DEBUG_SOURCE = 'env DEBUG';

/**
 * The whole, checked configuration.
 * @throws ConfigError with all that is wrong
 */
export function loadConfig(options: LoadConfigOptions = {}): CoordinatorConfig {
  return resolveConfig(options).config;
}

/**
 * As `loadConfig`, with the source of each value.
 * @throws ConfigError with all that is wrong
 */
export function resolveConfig(options: LoadConfigOptions = {}): ResolvedConfig {
  const cwd = resolve(options.cwd ?? '.');
  const env = options.env ?? process.env;
  const file = readFile(cwd, options.configPath);
  const layers = [
    defaultsLayer(),
    file.layer,
    environmentLayer(env, cwd),
    flagsLayer(options.flags ?? {}, cwd),
    inputToLayer(options.overrides ?? {}, 'override', cwd),
    debugLayer(options.env),
  ];
  const entries = new Map(
    layers.flatMap((layer) => layer.entries).map((entry) => [entry.path, entry]),
  );
  // A value that another source has replaced has no effect, so it is not checked.
  const faults = [
    ...layers.flatMap((layer) => layer.faults),
    ...[...entries.values()].flatMap(checkEntry),
  ];
  faults.push(...checkTogether(entries));
  if (faults.length > 0) {
    throw new ConfigError(faults);
  }
  fillIn(entries, cwd);
  return {
    config: Parse(ConfigSchema, toTree(entries)),
    sources: new Map(CONFIG_OPTIONS.map(({ path }) => [path, entries.get(path)?.source ?? ''])),
    filePath: file.path,
    notes: [
      ...environmentNotes(env),
      ...(options.configPath === undefined ? otherFileNotes(cwd, file.path, env) : []),
    ],
  };
}

/**
 * The value of `DEBUG`, where it is set: then an operator wants to see everything.
 * @param env default: the environment that the process was started with
 */
export function debugOf(env?: Environment): string | undefined {
  const value = env === undefined ? STARTED_WITH_DEBUG : env.DEBUG;
  return value === undefined || NO_DEBUG.test(value) ? undefined : value;
}

function defaultsLayer(): Layer {
  const withDefault = CONFIG_OPTIONS.filter(({ initial }) => initial !== undefined);
  const entries = withDefault.map(({ path, initial }) => ({
    path,
    value: structuredClone(initial),
    source: 'default',
  }));
  return { entries, faults: [] };
}

/** A file that can't be read is one fault among those of the other sources. */
function readFile(cwd: string, configPath?: string): { layer: Layer; path?: string } {
  try {
    const file = readConfigFile(cwd, configPath);
    return file === undefined
      ? { layer: { entries: [], faults: [] } }
      : {
          layer: inputToLayer(file.input, `file ${file.path}`, dirname(file.path)),
          path: file.path,
        };
  } catch (error) {
    if (error instanceof ConfigError) {
      return { layer: { entries: [], faults: [...error.faults] } };
    }
    throw error;
  }
}

function flagsLayer(flags: Environment, cwd: string): Layer {
  const texts = CONFIG_OPTIONS.flatMap(({ path, flag }) => {
    const text = flags[flag];
    return text === undefined ? [] : [{ path, text, source: `flag ${flag}` }];
  });
  return textsToLayer(texts, cwd);
}

function debugLayer(env?: Environment): Layer {
  const value = debugOf(env);
  const entry = { path: 'logging.namespaces', value, source: DEBUG_SOURCE };
  return { entries: value !== undefined && namesOurs(value) ? [entry] : [], faults: [] };
}

function checkEntry({ path, value, text, source }: LayerEntry): ConfigFault[] {
  const option = OPTIONS_BY_PATH.get(path);
  if (option === undefined || option.accepts(value)) {
    return [];
  }
  const shown = shorten(optionToText(option, text ?? value));
  return [{ source, name: path, value: shown, expected: option.expected }];
}

/** What is wrong only together. */
function checkTogether(entries: Map<string, LayerEntry>): ConfigFault[] {
  return [...checkTokens(entries), ...checkTrustProxy(entries), ...checkOrigins(entries)];
}

function checkOrigins(entries: Map<string, LayerEntry>): ConfigFault[] {
  const name = 'cors.origin';
  const entry = entries.get(name);
  if (entry === undefined || !OPTIONS_BY_PATH.get(name)?.accepts(entry.value)) return [];
  const patterns = [entry.value].flat().filter((item) => typeof item === 'string');
  return patterns.flatMap((pattern) => {
    const expected = originPatternFault(pattern);
    if (expected === undefined) return [];
    return [{ source: entry.source, name, value: shorten(JSON.stringify(pattern)), expected }];
  });
}

function checkTrustProxy(entries: Map<string, LayerEntry>): ConfigFault[] {
  const entry = entries.get('trustProxy');
  const option = OPTIONS_BY_PATH.get('trustProxy');
  if (entry === undefined || option === undefined || !option.accepts(entry.value)) return [];
  const ranges = [entry.value].flat().filter((item) => typeof item === 'string');
  const wrong = ranges.find((range) => !isAddressRange(range));
  if (wrong === undefined) return [];
  const { source } = entry;
  return [{ source, name: 'trustProxy', value: shorten(wrong), expected: option.expected }];
}

function checkTokens(entries: Map<string, LayerEntry>): ConfigFault[] {
  const mode = entries.get('auth.mode');
  const tokens = entries.get('auth.tokens');
  // An empty list was emptied on purpose, and lets no client in. One that is absent was forgotten.
  if (mode?.value !== 'token-whitelist' || tokens?.source !== 'default') return [];
  if (entries.has('auth.tokensFile')) return [];
  const expected =
    'has no tokens, but auth.mode "token-whitelist" needs at least one, or auth.tokensFile';
  return [{ source: mode.source, name: 'auth.tokens', value: undefined, expected }];
}

/** What depends on other options, and on where this runs. */
function fillIn(entries: Map<string, LayerEntry>, cwd: string): void {
  const basePath = entries.get('basePath');
  if (basePath?.value === '/') {
    basePath.value = '';
  }
  const dataDir = entries.get('dataDir');
  if (dataDir === undefined) {
    return;
  }
  dataDir.value = fromWorkingDirectory(String(dataDir.value), cwd);
  const url = entries.get('storage.url');
  if (url === undefined) {
    const value = `leveldb:${dataDir.value}`;
    entries.set('storage.url', { path: 'storage.url', value, source: dataDir.source });
  } else {
    // A package is looked for from where it is named.
    const { source, baseDir = cwd } = url;
    if (!entries.has('storage.from') && relative('.', baseDir) !== '' && isPackage(url.value)) {
      entries.set('storage.from', { path: 'storage.from', value: baseDir, source });
    }
    url.value = String(url.value).replace(
      /^leveldb:(.+)$/s,
      (_, path: string) => `leveldb:${fromWorkingDirectory(path, cwd)}`,
    );
  }
}

/** As it was written, unless `cwd` is not the directory that the process works in. */
function fromWorkingDirectory(path: string, cwd: string): string {
  return isAbsolute(path) || relative('.', cwd) === '' ? path : resolve(cwd, path);
}

function toTree(entries: Map<string, LayerEntry>): object {
  const tree: Record<string, unknown> = {};
  for (const { path } of CONFIG_OPTIONS) {
    const value = entries.get(path)?.value;
    if (value === undefined) continue;
    const [group = path, key] = path.split('.');
    tree[group] = key === undefined ? value : Object.assign(tree[group] ?? {}, { [key]: value });
  }
  return tree;
}
