/** What modules provide to each other. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HookContext } from '../../src/hooks/context.ts';
import { defineHooks, type HookDefinition } from '../../src/hooks/define-hooks.ts';
import { loadHooks } from '../../src/hooks/loading/loader.ts';
import { createToken } from '../../src/hooks/provided.ts';
import { askHooks } from '../../src/testing/hook-harness.ts';
import { surroundings } from './support.ts';

const Roles = createToken<(user: string) => string[]>('roles');

function named(name: string, work: (context: HookContext) => void): HookDefinition<undefined> {
  return defineHooks({
    name,
    setup(_options, context) {
      work(context);
      return { onAuthorize: () => true };
    },
  });
}

const provider = (name = 'provider') =>
  named(name, ({ provide }) => provide(Roles, (user) => [`${user} of ${name}`]));

function load(...modules: HookDefinition<undefined>[]) {
  const config = { auth: { mode: 'none' as const, tokens: [] }, hooks: { modules } };
  return loadHooks(config, undefined, { surroundings: surroundings() });
}

test('a module uses what one before it provides, by a token of the same name', async () => {
  const found: unknown[] = [];
  const copy = createToken<(user: string) => string[]>('roles');
  await load(
    provider(),
    named('user', ({ use }) => found.push(use(Roles)('ann'), use(copy)('ben'))),
  );
  assert.deepEqual(found, [['ann of provider'], ['ben of provider']]);
});

test('what nobody provides, or only a later module, is told at the start', async () => {
  const user = named('user', ({ use }) => use(Roles));
  const message =
    'hook module user: its setup failed: no module before this one provides roles: list a module that provides it before it';
  for (const modules of [[user], [user, provider()]]) {
    await assert.rejects(load(...modules), { name: 'HookLoadError', message });
  }
});

test('a hook finds what was there at its setup, and is told where else it is', async () => {
  let context: HookContext | undefined;
  await load(
    named('user', (given) => {
      context = given;
    }),
    provider(),
  );
  assert.throws(() => context?.use(Roles), /list provider before it/);
});

test('two providers of one thing, and one that comes late, are told so', async () => {
  await assert.rejects(load(provider('first'), provider('second')), {
    message: 'hook module second: its setup failed: roles is provided by first already',
  });
  let context: HookContext | undefined;
  await load(
    named('late', (given) => {
      context = given;
    }),
  );
  assert.throws(() => context?.provide(Roles, () => []), /only be provided during setup/);
  assert.throws(() => createToken(' '), TypeError);
});

test('another load knows nothing of it; a test provides it itself', async (t) => {
  await load(provider());
  const user = named('user', ({ use }) => use(Roles));
  await assert.rejects(load(user));
  await askHooks(t, user, { provided: [[Roles, () => []]] });
});

test('its type is that of the token', () => {
  named('typed', ({ provide, use }) => {
    // @ts-expect-error: no function
    provide(Roles, 1);
    const roles: string[] = use(Roles)('ann');
    return roles;
  });
});
