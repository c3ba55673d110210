/**
 * A change set as hooks see it, decoded when somebody looks. Most hooks look at little, and
 * decoding a batch costs as much as parsing it did.
 */

import { decodeHlc } from '../clock/hlc.ts';
import { textToSiteId } from '../clock/site-id.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import { type ChangeSet, decodeChange, decodeMigration } from '../protocol/types.ts';

interface Origin {
  wire: WireChangeSet;
  isTouched: boolean;
  /** What has been decoded of it, or set. */
  seen: Partial<ChangeSet>;
  /** The object itself: what inherits from it or stands before it may show something else. */
  self: object;
}

/**
 * Where a change set keeps what it was made of: on itself, unseen and not copied with it. (A
 * WeakMap of them doubled the time of the garbage collector.)
 */
const ORIGIN = Symbol('origin');

function findOrigin(changeSet: object): Origin | undefined {
  const origin: Origin | undefined = Reflect.get(changeSet, ORIGIN);
  return origin?.self === changeSet ? origin : undefined;
}

/** What a lazily decoded change set was made of, whatever has become of it since. */
export function originOf(changeSet: object): WireChangeSet | undefined {
  return findOrigin(changeSet)?.wire;
}

/** The same, if nobody has looked at what can be changed: then it is still what it was made of. */
export function untouchedOrigin(changeSet: object): WireChangeSet | undefined {
  const origin = findOrigin(changeSet);
  return origin === undefined || origin.isTouched ? undefined : origin.wire;
}

type Key = keyof ChangeSet;

/** @param isFixed a look at it can change nothing */
function property<K extends Key>(
  key: K,
  decode: (wire: WireChangeSet) => ChangeSet[K],
  isFixed = false,
): [Key, PropertyDescriptor] {
  const descriptor = {
    enumerable: true,
    configurable: true,
    get(this: object): ChangeSet[K] {
      const origin: Origin = Reflect.get(this, ORIGIN);
      if (!isFixed) origin.isTouched = true;
      const known: ChangeSet[K] | undefined = origin.seen[key];
      const value = known ?? decode(origin.wire);
      origin.seen[key] = value;
      return value;
    },
    set(this: object, value: ChangeSet[K]): void {
      const origin: Origin = Reflect.get(this, ORIGIN);
      origin.isTouched = true;
      origin.seen[key] = value;
    },
  };
  return [key, descriptor];
}

/** All change sets share these: with functions of its own each took three times as long to make. */
const PROPERTIES = [
  property('siteId', (wire) => textToSiteId(wire.siteId)),
  property('transactionId', (wire) => wire.transactionId, true),
  property('hlc', (wire) => decodeHlc(wire.hlc)),
  property('changes', (wire) => wire.changes.map(decodeChange)),
  property('schemaMigrations', (wire) => wire.schemaMigrations.map(decodeMigration)),
];

/** An ordinary object to whoever gets it: its properties can be set, spread and listed. */
export function decodeLazily(wire: WireChangeSet): ChangeSet {
  const changeSet = {};
  const origin: Origin = { wire, isTouched: false, seen: {}, self: changeSet };
  Object.defineProperty(changeSet, ORIGIN, { value: origin });
  for (const [key, descriptor] of PROPERTIES) Object.defineProperty(changeSet, key, descriptor);
  // The properties that have just been defined are all of them.
  return changeSet as ChangeSet;
}
