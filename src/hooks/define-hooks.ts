/**
 * How a hook module is written: `defineHooks` gives it a name and, where it takes options,
 * their schema, from which the types of the config entry and of `setup` are inferred.
 */

import type { Static, TSchema } from 'typebox';
import type { HookContext } from './context.ts';
import { HOOK_NAMES } from './kinds.ts';
import type { CoordinatorHooks, MaybePromise } from './types.ts';

/** Registered, so that a module with its own copy of this package is understood. */
const DEFINITION = Symbol.for('sync-coordinator.hook-definition');

/** What modules of today are written for; it grows when they could not be understood any more. */
export const HOOK_API_VERSION = 1;

/** A hook module as `defineHooks` gives it. */
export interface HookDefinition<Options = unknown> extends Readonly<HookModuleNotes> {
  readonly [DEFINITION]: true;
  /** A JSON Schema of the options; without it the module takes none. */
  readonly options?: TSchema;
  setup(options: Options, context: HookContext): MaybePromise<CoordinatorHooks>;
}

/** What every module says of itself. */
export interface HookModuleNotes {
  /** For logs, metrics and `sync-coordinator check`. */
  name: string;
  version?: string;
  /** The version of the hooks that it is written for. Default: 1. A later one is refused at start. */
  apiVersion?: number;
  /** Names of modules that it comes after, if they are there. */
  after?: readonly string[];
  /** Names of modules that must be there; it comes after them. */
  requires?: readonly string[];
  /**
   * Batches are judged (`onBeforeApplyChanges`) and stored one after the other in each database, whoever
   * sends them: what this module reads still holds when what it approved is stored. It costs speed, so it is
   * for rules that would not hold otherwise, such as a quota. Default: false.
   */
  serial?: boolean;
}

export interface PlainHookModule extends HookModuleNotes {
  hooks: CoordinatorHooks;
}

export interface HookModuleWithOptions<Schema extends TSchema> extends HookModuleNotes {
  /**
   * Checked at start, after its defaults have been filled in. A property that it does not know
   * is refused, unless it says `additionalProperties`. One that is annotated `secret: true`
   * is not shown by `sync-coordinator check`.
   */
  options: Schema;
  setup(options: Static<Schema>, context: HookContext): MaybePromise<CoordinatorHooks>;
}

export interface HookModuleWithSetup extends HookModuleNotes {
  options?: undefined;
  setup(options: undefined, context: HookContext): MaybePromise<CoordinatorHooks>;
}

/** A hook module that takes no options. */
export function defineHooks(
  module: PlainHookModule | HookModuleWithSetup,
): HookDefinition<undefined>;
/** A hook module with options; a config names them beside the module: `[module, options]`. */
export function defineHooks<const Schema extends TSchema>(
  module: HookModuleWithOptions<Schema>,
): HookDefinition<Static<Schema>>;
export function defineHooks(
  module: PlainHookModule | HookModuleWithSetup | HookModuleWithOptions<TSchema>,
): HookDefinition<never> {
  const { name, version, apiVersion, after, requires, serial = false } = module;
  if (typeof name !== 'string' || name.trim() === '') {
    throw new TypeError('defineHooks: a hook module needs a name');
  }
  const beside = HOOK_NAMES.filter((hook) => Object.hasOwn(module, hook));
  if (beside.length > 0) {
    throw new TypeError(`defineHooks: ${name} has ${beside.join(', ')} beside its hooks`);
  }
  if ('hooks' in module && 'setup' in module && module.setup !== undefined) {
    throw new TypeError(`defineHooks: ${name} has both hooks and setup`);
  }
  if (typeof serial !== 'boolean') {
    throw new TypeError(`defineHooks: serial of ${name} is true or false`);
  }
  const notes = { name, version, apiVersion, after, requires, serial };
  if ('hooks' in module) {
    const { hooks } = module;
    return { [DEFINITION]: true, ...notes, setup: () => hooks };
  }
  const { options, setup } = module;
  if (typeof setup !== 'function') {
    throw new TypeError(`defineHooks: ${name} has neither hooks nor setup`);
  }
  return { [DEFINITION]: true, ...notes, options, setup };
}

export function isHookDefinition(value: unknown): value is HookDefinition {
  return typeof value === 'object' && value !== null && Reflect.get(value, DEFINITION) === true;
}

/** What a config may leave out: whatever has a default, which its type doesn't tell. */
export type OptionsInput<Options> = Options extends readonly unknown[]
  ? Options
  : Options extends object
    ? { [Key in keyof Options]?: Options[Key] }
    : Options;

/** A function that makes hooks of the options of its config entry, without a name or a schema. */
export type HookFactory<Options = unknown> = (
  options: Options,
  context: HookContext,
) => MaybePromise<CoordinatorHooks>;

/**
 * A hook module's default export, or its export named `hooks`: what `defineHooks` gives, a
 * plain object of hooks, or a function that makes one.
 */
export type HookModule<Options = unknown> =
  | HookDefinition<Options>
  | CoordinatorHooks
  | HookFactory<Options>;
