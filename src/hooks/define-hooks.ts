/**
 * Defines hook modules: `defineHooks` gives a module its name and, if it has options, their schema,
 * from which the types of the config entry and of `setup` are inferred.
 */

import type { Static, TSchema } from 'typebox';
import type { HookContext } from './context.ts';
import { HOOK_NAMES } from './kinds.ts';
import type { CoordinatorHooks, MaybePromise } from './types.ts';

/** Registered, so that a module with its own copy of this package is understood. */
const DEFINITION = Symbol.for('sync-coordinator.hook-definition');

/** The version of the hooks' interface. It grows with incompatible changes. */
export const HOOK_API_VERSION = 1;

/** The result of `defineHooks`. */
export interface HookDefinition<Options = unknown> extends Readonly<HookModuleNotes> {
  readonly [DEFINITION]: true;
  /** A JSON Schema of the options; without it the module takes none. */
  readonly options?: TSchema;
  setup(options: Options, context: HookContext): MaybePromise<CoordinatorHooks>;
}

/** The properties of every module. */
export interface HookModuleNotes {
  /** For logs, metrics and `sync-coordinator check`. */
  name: string;
  version?: string;
  /**
   * The version of the hooks' interface that it is written for. Default: 1. A later one is refused
   * at start.
   */
  apiVersion?: number;
  /** Names of modules after which it runs, if they are listed. */
  after?: readonly string[];
  /** Names of modules that must be listed, and after which it runs. */
  requires?: readonly string[];
  /**
   * In each database batches of all clients are decided about (`onBeforeApplyChanges`) and stored
   * one after the other. So what this module has read still holds when the changes that it approved
   * are stored. This costs speed: use it only for rules that need it, such as a quota. Default:
   * false.
   */
  serial?: boolean;
}

export interface PlainHookModule extends HookModuleNotes {
  hooks: CoordinatorHooks;
}

export interface HookModuleWithOptions<Schema extends TSchema> extends HookModuleNotes {
  /**
   * Options are checked at start, with the defaults filled in. Unknown properties are refused,
   * unless the schema has `additionalProperties`. `sync-coordinator check` does not show properties
   * that are annotated `secret: true`.
   */
  options: Schema;
  setup(options: Static<Schema>, context: HookContext): MaybePromise<CoordinatorHooks>;
}

export interface HookModuleWithSetup extends HookModuleNotes {
  options?: undefined;
  setup(options: undefined, context: HookContext): MaybePromise<CoordinatorHooks>;
}

/** Defines a hook module without options. */
export function defineHooks(
  module: PlainHookModule | HookModuleWithSetup,
): HookDefinition<undefined>;
/** Defines a hook module with options. A config lists it as `[module, options]`. */
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

/** Options in a config. All may be left out, since types do not say which have a default. */
export type OptionsInput<Options> = Options extends readonly unknown[]
  ? Options
  : Options extends object
    ? { [Key in keyof Options]?: Options[Key] }
    : Options;

/** A function that makes hooks from the options of its config entry, without a name or a schema. */
export type HookFactory<Options = unknown> = (
  options: Options,
  context: HookContext,
) => MaybePromise<CoordinatorHooks>;

/**
 * A hook module's default export, or its export named `hooks`: the result of `defineHooks`, a plain
 * object of hooks, or a function that makes one.
 */
export type HookModule<Options = unknown> =
  | HookDefinition<Options>
  | CoordinatorHooks
  | HookFactory<Options>;
