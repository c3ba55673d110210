/**
 * Refuses verdicts that reject changes which they approve: such a verdict is a mistake of the hook.
 */

import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { RejectedChange } from '../../protocol/types.ts';
import { encodeValue, pkIdentity } from '../../protocol/values.ts';
import { forEach, type Steps } from '../../wire/steps.ts';
import { InvalidAnswer } from '../invalid-answer.ts';
import { type GivenBack, itemsOf, type WireItem } from './returned-changes.ts';

/** Which parts of a change an entry names. */
interface Shape {
  column: boolean;
  pk: boolean;
}

const SHAPES: readonly Shape[] = [
  { column: false, pk: false },
  { column: true, pk: false },
  { column: false, pk: true },
  { column: true, pk: true },
];

/**
 * An entry of `rejected` that names a table is about changes that are not approved. If there are
 * none that it names, it must not name approved ones either.
 * @throws InvalidAnswer
 */
export function* refuseContradictions(
  given: readonly WireChangeSet[],
  { isAnswered }: GivenBack,
  rejected: readonly RejectedChange[],
): Steps<void> {
  const named = rejected.filter(({ table }) => table !== undefined);
  if (named.length === 0) return;
  const shapes = SHAPES.filter((shape) => named.some((entry) => isOfShape(entry, shape)));
  const refused = new Set<string>();
  const approved = new Set<string>();
  yield* forEach(given.flatMap(itemsOf), (item) => {
    const keys = isAnswered(item) ? approved : refused;
    for (const shape of shapes) keys.add(keyOf(partsOf(item), shape));
  });
  yield* forEach(named, ({ table, column, pk }) => {
    const parts = { table, column, pk: pk && pkIdentity(pk.map(encodeValue)) };
    const key = keyOf(parts, { column: column !== undefined, pk: pk !== undefined });
    if (refused.has(key) || !approved.has(key)) return;
    const what = [table, column].filter((name) => name !== undefined).join('.');
    throw new InvalidAnswer(`what rejected says of ${what} is of changes that are approved`);
  });
}

function isOfShape({ column, pk }: RejectedChange, shape: Shape): boolean {
  return (column !== undefined) === shape.column && (pk !== undefined) === shape.pk;
}

interface Parts {
  table?: string | undefined;
  column?: string | undefined;
  pk?: string | undefined;
}

function partsOf(item: WireItem): Parts {
  const { table, type } = item;
  if (type === 'column') return { table, column: item.column, pk: pkIdentity(item.pk) };
  return { table, pk: type === 'delete' ? pkIdentity(item.pk) : undefined };
}

function keyOf({ table, column, pk }: Parts, shape: Shape): string {
  return JSON.stringify([table, shape.column ? (column ?? 0) : 0, shape.pk ? (pk ?? 0) : 0]);
}
