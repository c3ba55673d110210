/** Whom a rule is about, by what their identity says of them. */

import { type Static, Type } from 'typebox';
import type { ClientIdentity } from '../types.ts';

export const Claim = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    values: Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
      minItems: 1,
    }),
  },
  { additionalProperties: false },
);

/** Claims are those of a JWT, or what another hook put into `metadata` itself. */
export function hasClaim(
  { metadata = {} }: ClientIdentity,
  { name, values }: Static<typeof Claim>,
): boolean {
  const claims: unknown = metadata.claims;
  const holders = [claims, metadata].filter((holder) => Object.hasOwn(Object(holder), name));
  const [holder] = holders;
  if (holder === undefined) return false;
  const value: unknown = Reflect.get(Object(holder), name);
  const held: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.some((wanted) => held.includes(wanted));
}
