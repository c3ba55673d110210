/** Checks a hook module's options by its schema. Messages name the place of each fault. */

import type { TSchema } from 'typebox';
import { Errors } from 'typebox/value';
import { withDefaults } from '../../options/option-defaults.ts';
import { SchemaReader } from '../../options/schema-reader.ts';
import { refusingUnknown } from '../../options/strict-schema.ts';
import { toPlacedFault } from '../../wire/place.ts';
import { HookLoadError } from '../load-error.ts';
import { findNotPlain } from './not-plain.ts';

/** The faults that a message names; it only counts the others. */
const FAULTS_MAX = 5;

/**
 * The options with their defaults filled in; the given ones stay as they are.
 * @throws HookLoadError
 */
export function checkOptions(module: string, given: unknown, schema: TSchema): unknown {
  const notPlain = findNotPlain(given, [schema], new SchemaReader(schema));
  if (notPlain !== undefined) throw new HookLoadError(module, `its ${notPlain}`);
  const strict = refusingUnknown(schema);
  const options = withDefaults(schema, given ?? {});
  const faults = [...Errors(strict, options)].filter((fault) => !isEcho(fault)).map(faultToText);
  if (faults.length === 0) return options;
  const more = faults.length > FAULTS_MAX ? `; and ${faults.length - FAULTS_MAX} more` : '';
  throw new HookLoadError(module, `its ${faults.slice(0, FAULTS_MAX).join('; its ')}${more}`);
}

/** The validator says of an unknown property first that it is false, then that it is one. */
function isEcho(fault: object): boolean {
  return Reflect.get(fault, 'message') === 'schema is false';
}

function faultToText(fault: object): string {
  const { place, message } = toPlacedFault(fault);
  const params: unknown = Reflect.get(fault, 'params');
  const named = (key: string) => {
    const names: unknown = Reflect.get(Object(params), key);
    return Array.isArray(names) ? names.map((name) => `"${name}"`).join(', ') : '';
  };
  const unknown = named('additionalProperties');
  if (unknown !== '') return `options${place} must not have ${unknown}`;
  const missing = named('requiredProperties');
  if (missing !== '') return `options${place} must have ${missing}`;
  return `options${place} ${message}`;
}
