/** A module's options: strict, with their defaults, and secrets masked, in every shape of a schema. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type TSchema, Type } from 'typebox';
import { hookOptionsToText } from '../../src/config/option-display.ts';
import { HookLoadError } from '../../src/hooks/load-error.ts';
import { checkOptions } from '../../src/hooks/loading/check-options.ts';

const Retry = Type.Object({
  max: Type.Integer({ default: 3 }),
  delay: Type.Optional(Type.Integer()),
});
const Key = Type.Object({ id: Type.String(), value: Type.String({ secret: true }) });

/** Where a schema may stand within another one, and where its value then stands. */
const SHAPES: Record<
  string,
  (inner: TSchema) => { schema: TSchema; wrap(value: unknown): unknown }
> = {
  'a member': (inner) => ({ schema: Type.Object({ at: inner }), wrap: (at) => ({ at }) }),
  'a member that may be missing': (inner) => ({
    schema: Type.Object({ at: Type.Optional(inner) }),
    wrap: (at) => ({ at }),
  }),
  'an item': (inner) => ({
    schema: Type.Object({ at: Type.Array(inner) }),
    wrap: (at) => ({ at: [at] }),
  }),
  'a part of a tuple': (inner) => ({
    schema: Type.Object({ at: Type.Tuple([Type.String(), inner]) }),
    wrap: (at) => ({ at: ['x', at] }),
  }),
  'a part of a plain tuple': (inner) => ({
    schema: Type.Object({ at: { type: 'array', prefixItems: [{ type: 'string' }, inner] } }),
    wrap: (at) => ({ at: ['x', at] }),
  }),
  'a member of a record': (inner) => ({
    schema: Type.Object({ at: Type.Record(Type.String(), inner) }),
    wrap: (at) => ({ at: { some: at } }),
  }),
  'a member of a plain record': (inner) => ({
    schema: Type.Object({ at: { type: 'object', additionalProperties: inner } }),
    wrap: (at) => ({ at: { some: at } }),
  }),
  'an alternative': (inner) => ({
    schema: Type.Object({ at: Type.Union([Type.Null(), Type.String(), inner]) }),
    wrap: (at) => ({ at }),
  }),
  'one of several': (inner) => ({
    schema: Type.Object({ at: { oneOf: [{ type: 'boolean' }, inner] } }),
    wrap: (at) => ({ at }),
  }),
  'a definition': (inner) => ({
    schema: { ...Type.Object({ at: { $ref: '#/$defs/inner' } }), $defs: { inner } },
    wrap: (at) => ({ at }),
  }),
  'a list of records of alternatives': (inner) => ({
    schema: Type.Object({
      at: Type.Array(Type.Record(Type.String(), Type.Union([Type.Null(), inner]))),
    }),
    wrap: (at) => ({ at: [{ some: at }] }),
  }),
};

for (const [place, shape] of Object.entries(SHAPES)) {
  describe(`as ${place}`, () => {
    it('an object takes no property that it does not name', () => {
      const { schema, wrap } = shape(Retry);
      assert.throws(() => checkOptions('m', wrap({ max: 1, dealy: 2 }), schema), HookLoadError);
      assert.deepEqual(
        checkOptions('m', wrap({ max: 1, delay: 2 }), schema),
        wrap({ max: 1, delay: 2 }),
      );
    });

    it('an object that is open takes them', () => {
      const { schema, wrap } = shape(
        Type.Object({ max: Type.Integer() }, { additionalProperties: true }),
      );
      assert.deepEqual(
        checkOptions('m', wrap({ max: 1, more: 2 }), schema),
        wrap({ max: 1, more: 2 }),
      );
    });

    it('what is missing in it has its default', () => {
      const { schema, wrap } = shape(Retry);
      const given = wrap({ delay: 2 });
      assert.deepEqual(checkOptions('m', given, schema), wrap({ max: 3, delay: 2 }));
      assert.deepEqual(given, wrap({ delay: 2 }), 'what was given is as it was');
    });

    it('what is secret in it is not shown', () => {
      const { schema, wrap } = shape(Key);
      const options = checkOptions('m', wrap({ id: 'one', value: 'hush' }), schema);
      const text = hookOptionsToText(options, schema);
      assert.ok(!text.includes('hush'), text);
      assert.ok(text.includes('"id":"one"'), text);
    });
  });
}

describe('an object that was left out', () => {
  const schema = Type.Object({
    retry: Type.Object({
      max: Type.Integer({ default: 3 }),
      on: Type.Object({ all: Type.Boolean({ default: true }) }),
    }),
    extra: Type.Optional(Retry),
  });
  it('is there with its defaults if it has to be, at any depth', () => {
    assert.deepEqual(checkOptions('m', undefined, schema), {
      retry: { max: 3, on: { all: true } },
    });
    assert.deepEqual(checkOptions('m', { retry: { max: 1 } }, schema), {
      retry: { max: 1, on: { all: true } },
    });
  });
  it('is missing if it needs more', () => {
    assert.throws(
      () => checkOptions('m', {}, Type.Object({ key: Key })),
      /its options must have "key"/,
    );
  });
});

describe('objects that are one', () => {
  const schema = Type.Object({
    at: Type.Intersect([Retry, Type.Object({ key: Type.String({ secret: true }) })]),
  });
  it('take the properties of all, and no other', () => {
    const options = checkOptions('m', { at: { key: 'hush' } }, schema);
    assert.deepEqual(options, { at: { max: 3, key: 'hush' } });
    assert.ok(!hookOptionsToText(options, schema).includes('hush'));
    assert.throws(() => checkOptions('m', { at: { key: 'hush', kee: 1 } }, schema), HookLoadError);
  });
});

it('a schema that is of itself ends', () => {
  const tree = {
    type: 'object',
    properties: { key: { type: 'string', secret: true }, below: { $ref: '#/$defs/tree' } },
  };
  const schema = {
    type: 'object',
    properties: { at: { $ref: '#/$defs/tree' } },
    $defs: { tree },
  } as TSchema;
  const options = { at: { below: { below: { key: 'hush' } } } };
  assert.deepEqual(checkOptions('m', options, schema), options);
  assert.ok(!hookOptionsToText(options, schema).includes('hush'));
  assert.throws(() => checkOptions('m', { at: { below: { kee: 1 } } }, schema), HookLoadError);
});

it('a fault in an alternative is told with its place', () => {
  const schema = Type.Object({ at: Type.Union([Type.Null(), Retry]) });
  assert.throws(() => checkOptions('m', { at: { max: 'x' } }, schema), /options\.at/);
});

describe('what is no plain object counts as no options, and is refused', () => {
  const values = {
    promise: Promise.resolve({ max: 1 }),
    Map: new Map([['max', 1]]),
    Date: new Date(),
  };
  for (const [shape, at] of Object.entries(SHAPES)) {
    it(`as ${shape}`, () => {
      const { schema, wrap } = at(Retry);
      for (const [what, value] of Object.entries(values)) {
        assert.throws(
          () => checkOptions('m', wrap(value), schema),
          ({ message }: Error) => message.includes(`must be an object, not a ${what}`),
        );
      }
    });
  }
  it('as all of them', () => {
    assert.throws(
      () => checkOptions('m', Promise.resolve({}), Retry),
      /its options must be an object, not a promise/,
    );
  });
});
