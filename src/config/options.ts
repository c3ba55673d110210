/**
 * The schema's leaves as a list: what each option is called as a key, in the
 * environment and on the command line, and how its value is checked and read.
 */

import { IsArray, IsBoolean, IsEnum, IsInteger, IsObject, IsUnion, type TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { ConfigSchema, type OptionNotes } from './schema.ts';

export interface ConfigOption {
  /** Its keys with dots between, such as `limits.messageBytes`. */
  path: string;
  description: string;
  /** What a value is, for people, such as `integer` or `list`. */
  type: string;
  /** What a value may be, for people. */
  expected: string;
  /** The default; `undefined` where it depends on another option. */
  initial: unknown;
  /** The default for people, as Markdown. */
  initialText: string;
  env: string;
  /** With its dashes. */
  flag: string;
  isSecret: boolean;
  accepts(value: unknown): boolean;
  /** A text from the environment or the command line as a value; the text itself where it is none. */
  parse(text: string): unknown;
}

/** A leaf as JSON Schema has it, with our notes. */
interface Leaf extends OptionNotes {
  default?: unknown;
  minimum?: number;
  maximum?: number;
  enum?: string[];
}

/** The names of the groups that options may be written in, such as `limits`. */
export const OPTION_GROUPS: readonly string[] = Object.entries(ConfigSchema.properties)
  .filter(([, schema]) => IsObject(schema))
  .map(([name]) => name);

export const CONFIG_OPTIONS: readonly ConfigOption[] = collect(ConfigSchema, []);

export const OPTIONS_BY_PATH: ReadonlyMap<string, ConfigOption> = new Map(
  CONFIG_OPTIONS.map((option) => [option.path, option]),
);

function collect(schema: TSchema, keys: readonly string[]): ConfigOption[] {
  if (!IsObject(schema)) {
    return [toOption(schema, keys)];
  }
  return Object.entries(schema.properties).flatMap(([key, inner]) =>
    collect(inner, [...keys, key]),
  );
}

function toOption(schema: TSchema, keys: readonly string[]): ConfigOption {
  const path = keys.join('.');
  if (!isLeaf(schema)) {
    throw new TypeError(`the option ${path} has no description`);
  }
  const words = keysToWords(keys);
  return {
    path,
    description: schema.description,
    ...typeToTexts(schema),
    initial: schema.default,
    initialText: schema.defaultText ?? `\`${JSON.stringify(schema.default)}\``,
    env: schema.env ?? wordsToEnv(words),
    flag: schema.flag ?? `--${words.join('-')}`,
    isSecret: schema.secret ?? false,
    accepts: (value) => Check(schema, value),
  };
}

function isLeaf(schema: TSchema): schema is TSchema & Leaf {
  return 'description' in schema && typeof schema.description === 'string';
}

/** `['limits', 'messageBytes']` → `['limits', 'message', 'bytes']`. */
function keysToWords(keys: readonly string[]): string[] {
  return keys.flatMap((key) =>
    key
      .replace(/([a-z])([A-Z])/g, '$1 $2')
      .toLowerCase()
      .split(' '),
  );
}

/** The group `sync` is not said twice: `sync.batchSize` → `SYNC_BATCH_SIZE`. */
function wordsToEnv(words: readonly string[]): string {
  const own = words[0] === 'sync' ? words.slice(1) : words;
  return ['sync', ...own].join('_').toUpperCase();
}

type TypeTexts = Pick<ConfigOption, 'type' | 'expected' | 'parse'>;

function typeToTexts(schema: TSchema & Leaf): TypeTexts {
  const expected = (fallback: string) => schema.expected ?? fallback;
  if (IsInteger(schema)) {
    const range = `an integer from ${schema.minimum} to ${schema.maximum}`;
    return { type: 'integer', expected: expected(range), parse: textToInteger };
  }
  if (IsBoolean(schema)) {
    return { type: 'boolean', expected: expected('true or false'), parse: textToBoolean };
  }
  if (IsEnum(schema)) {
    const values = schema.enum.join(', ');
    return { type: values, expected: expected(`one of ${values}`), parse: (text) => text };
  }
  if (IsArray(schema)) {
    return { type: 'list', expected: expected('a list'), parse: textToList };
  }
  if (IsUnion(schema)) {
    return { type: 'boolean, string or list', expected: expected(''), parse: textToChoice };
  }
  return { type: 'string', expected: expected('a text'), parse: (text) => text };
}

function textToInteger(text: string): unknown {
  return /^\s*-?\d+\s*$/.test(text) ? Number(text) : text;
}

function textToBoolean(text: string): unknown {
  const values: Readonly<Record<string, boolean>> = { true: true, 1: true, false: false, 0: false };
  return values[text.trim().toLowerCase()] ?? text;
}

function textToList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function textToChoice(text: string): unknown {
  const list = textToList(text);
  const [first = text] = list;
  if (list.length > 1) {
    return list;
  }
  return first === 'true' || first === 'false' ? first === 'true' : first;
}
