import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { Check } from 'typebox/value';
import { valueAt } from '../../src/config/option-display.ts';
import { CONFIG_OPTIONS, type ConfigOption, OPTION_GROUPS } from '../../src/config/options.ts';
import {
  type LoadConfigOptions,
  type ResolvedConfig,
  resolveConfig,
} from '../../src/config/resolve-config.ts';
import { ConfigSchema } from '../../src/config/schema.ts';
import { ConfigError } from '../../src/errors/config-error.ts';
import { createDir } from '../config/temp-dir.ts';
import { holds } from '../support/runs.ts';
import { anyJson, anyText, toText } from './garbage.ts';

/** In every place where a secret may stand; it must stand in no error. */
const SECRET = 'correct-horse-battery';

/** What is right for an option, as a value. */
function rightValue({ path, initial, type, accepts }: ConfigOption): fc.Arbitrary<unknown> {
  if (path === 'basePath') return fc.constantFrom('', '/', '/a', '/a/b');
  if (path === 'storage.url') return fc.constantFrom('memory:', 'leveldb:x', 'some-module');
  if (path === 'hooks.modules')
    return fc.constantFrom(
      [],
      ['a'],
      [['a', { key: SECRET }]],
      [{ module: 'a', options: { key: SECRET }, databases: ['a'], timeoutMs: 7, enforce: 'pre' }],
    );
  if (path === 'auth.tokens') return fc.constantFrom([SECRET], ['a', SECRET]);
  if (path === 'trustProxy') return fc.constantFrom('10.0.0.0/8', 'loopback', '192.0.2.1');
  if (path === 'cors.origin') {
    return fc.constantFrom('https://a.example', 'https://*.b.example', 'null', '*');
  }
  if (path === 'port') return fc.nat(65535);
  if (type === 'integer') return fc.constantFrom(1, 7, 60_000, initial).filter(accepts);
  if (type === 'boolean') return fc.boolean();
  if (type.includes(', ')) return fc.constantFrom(...type.split(', '));
  return fc.constantFrom('a', 'b.example');
}

const oddValue = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true }),
  fc.constantFrom<unknown>([['a', {}, 1]], () => 1, []),
  fc.constantFrom<unknown>(Symbol('s'), Number.NaN, -0, 1 / 0, '', ' ', '\u0000', '__proto__'),
);

const NAMES = [...OPTION_GROUPS, ...CONFIG_OPTIONS.flatMap(({ path }) => path.split('.'))];
const name = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...NAMES) },
  fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', ''),
  fc.string(),
);

const nearObject = fc
  .array(fc.tuple(name, fc.oneof(oddValue, fc.array(fc.tuple(name, oddValue)).map(toObject))), {
    maxLength: 4,
  })
  .map(toObject);

/** Wrong in the places where secrets are expected. */
const nearSecret = fc.constantFrom<object>(
  { auth: SECRET },
  { auth: [SECRET] },
  { auth: { tokens: SECRET } },
  { auth: { tokens: [SECRET, ''], mode: 'custom' } },
  { auth: { tokens: { [SECRET]: SECRET } } },
  { hooks: [['a', { key: SECRET }, 1]] },
  { hooks: { modules: { key: SECRET } } },
  { hooks: [{ key: SECRET }] },
  { hooks: [{ module: 'a', options: { key: SECRET }, tables: [] }] },
  { hooks: [{ module: { name: 'a' }, key: SECRET }] },
  { storage: `postgres://me:${SECRET}@host/db`, port: -1 },
  { storage: { url: ` postgres://me:${SECRET}@host/db` } },
);

/** With own members only, also one that is called `__proto__`. */
function toObject(pairs: [string, unknown][]): object {
  const made = {};
  for (const [key, value] of pairs) {
    Object.defineProperty(made, key, { value, enumerable: true, configurable: true });
  }
  return made;
}

const oddText = fc.oneof(fc.string(), fc.constantFrom('true', '1', '-1', ' 7 ', '1e9', ',', 'a,b'));
const texts = (names: readonly string[]) =>
  fc.dictionary(fc.constantFrom(...names), oddText, { maxKeys: 4 });

/** A configuration that is right, or a refusal that a person can act on. */
function resolvedOrRefused(options: LoadConfigOptions): ResolvedConfig | undefined {
  try {
    const resolved = resolveConfig(options);
    assert.ok(Check(ConfigSchema, resolved.config), 'it is of the schema');
    return resolved;
  } catch (error) {
    assert.ok(error instanceof ConfigError, `threw ${String(error)}`);
    assert.ok(!error.message.includes(SECRET.slice(0, 7)), `a secret is told: ${error.message}`);
    assert.ok(error.faults.length > 0);
    for (const fault of error.faults) {
      assert.match(fault.source, /^(file \/|env [A-Z]|flag --|override$)/, 'who said it');
      assert.notEqual(fault.expected, '', 'and what it may be');
      if (fault.value !== undefined) assert.notEqual(fault.name, '', 'and of which option');
    }
    return undefined;
  }
}

test('whatever the sources hold, it is a configuration or a refusal that says what is wrong', (t) => {
  const cwd = createDir(t);
  const sources = fc.record({
    overrides: fc.oneof({ weight: 5, arbitrary: nearObject }, nearSecret),
    env: texts(CONFIG_OPTIONS.map(({ env }) => env)),
    flags: texts(CONFIG_OPTIONS.map(({ flag }) => flag)),
  });
  holds(
    fc.property(sources, ({ overrides, env, flags }) => {
      resolvedOrRefused({ cwd, overrides, env, flags });
    }),
    80,
  );
});

const fileText = fc.oneof(
  fc.constantFrom('null', '[]', '""', '0', 'true', '', ' ', '\ufeff{}', '{', '[{}]', '\u0000'),
  anyText,
  anyJson.map(toText),
  nearObject.map((value) => {
    try {
      return JSON.stringify(value);
    } catch {
      return '{}';
    }
  }),
  fc
    .tuple(
      fc.constantFrom(
        `{"auth":{"tokens":["${SECRET}"]}}`,
        `{"auth":{"tokens":["${SECRET}"],"mode":"custom"},"port":1}`,
        `{"hooks":[["./a.ts",{"key":"${SECRET}"}]]}`,
      ),
      fc.nat(),
      fc.constantFrom('', ',', '"', '}', 'x', '\n', '['),
    )
    .map(([text, at, what]) => {
      const place = at % text.length;
      return text.slice(0, place) + what + text.slice(place + 1);
    }),
);
const fileName = fc.constantFrom('sync-coordinator.json', 'sync-coordinator.config.json');

test('a JSON file of any content is heeded or refused, and never passed over', (t) => {
  const cwd = createDir(t);
  holds(
    fc.property(fileName, fc.boolean(), fileText, (file, isNamed, text) => {
      writeFileSync(join(cwd, file), text);
      const named = isNamed ? { configPath: file } : {};
      const resolved = resolvedOrRefused({ cwd, env: {}, ...named });
      rmSync(join(cwd, file));
      if (resolved === undefined) return;
      assert.equal(resolved.filePath, join(cwd, file));
      const content: unknown = JSON.parse(text.replace(/^\ufeff/, ''));
      assert.ok(typeof content === 'object' && content !== null && !Array.isArray(content));
    }),
    80,
  );
});

const LAYERS = ['default', 'file', 'env', 'flag', 'override'] as const;

/** As a shell would hand it over; `undefined` where a text can't say it. */
function toShellText(value: unknown): string | undefined {
  if (Array.isArray(value)) {
    return value.length > 0 && value.every((item) => typeof item === 'string')
      ? value.join(',')
      : undefined;
  }
  return value === '' ? undefined : String(value);
}

const assigned = fc.constantFrom(...CONFIG_OPTIONS).chain((option) =>
  fc.record({
    option: fc.constant(option),
    values: fc.tuple(
      fc.option(rightValue(option)),
      fc.option(rightValue(option)),
      fc.option(rightValue(option)),
      fc.option(rightValue(option)),
    ),
  }),
);

test('flags win over the environment, that over the file, and that over the defaults', (t) => {
  const cwd = createDir(t);
  const assignments = fc.uniqueArray(assigned, {
    selector: ({ option }) => option.path,
    minLength: 1,
    maxLength: 12,
  });
  holds(
    fc.property(assignments, (all) => {
      const file: Record<string, unknown> = {};
      const override: Record<string, unknown> = {};
      const env: Record<string, string> = {};
      const flags: Record<string, string> = {};
      const expected = new Map<string, { layer: string; value: unknown }>();
      for (const { option, values } of all) {
        const [inFile, inEnv, inFlag, inOverride] = values;
        const said = { file: inFile, env: inEnv, flag: inFlag, override: inOverride };
        for (const layer of LAYERS) {
          const value = layer === 'default' ? option.initial : said[layer];
          if (value === null || value === undefined) continue;
          const text = toShellText(value);
          if (layer === 'file') put(file, option.path, value);
          if (layer === 'override') put(override, option.path, value);
          if (layer === 'env' || layer === 'flag') {
            if (text === undefined) continue;
            if (layer === 'env') env[option.env] = text;
            else flags[option.flag] = text;
          }
          expected.set(option.path, { layer, value });
        }
      }
      writeFileSync(join(cwd, 'sync-coordinator.json'), JSON.stringify(file));
      const resolved = resolvedOrRefused({ cwd, env, flags, overrides: override });
      if (resolved === undefined) {
        assert.equal(expected.get('auth.mode')?.value, 'token-whitelist', 'it needs tokens');
        return;
      }
      for (const [path, { layer, value }] of expected) {
        assert.equal(resolved.sources.get(path)?.split(' ')[0], layer, path);
        // Paths and the root are written out; their source is what counts.
        if (
          /^(basePath|dataDir|storage\.url|storage\.from|hooks\.modules|cors\.origin|auth\.tokensFile)$/.test(
            path,
          )
        )
          continue;
        assert.deepEqual(valueAt(resolved.config, path), value, path);
      }
    }),
    50,
  );
});

function put(tree: Record<string, unknown>, path: string, value: unknown): void {
  const [group = path, key] = path.split('.');
  tree[group] = key === undefined ? value : { ...Object(tree[group]), [key]: value };
}
