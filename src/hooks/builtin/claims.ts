/** Selects the clients of a rule by a claim of their identity. */

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

/** Reads claims of a JWT, or members of `metadata` from another hook. */
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
