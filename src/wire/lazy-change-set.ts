/**
 * A change set as hooks see it, decoded when a hook reads it. Most hooks read little, and decoding
 * a batch costs as much as parsing it did.
 */

import { decodeHlc } from '../clock/hlc.ts';
import { textToSiteId } from '../clock/site-id.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import { type ChangeSet, decodeChange, decodeMigration } from '../protocol/types.ts';

interface Origin {
  wire: WireChangeSet;
  isTouched: boolean;
  /** Properties that have been decoded, or set. */
  seen: Partial<ChangeSet>;
  /**
   * The change set itself. An object that inherits from it, or a proxy, may have other properties.
   */
  self: object;
}

/**
 * The property in which a change set keeps its origin. It is not enumerable, so it is not copied.
 * (A WeakMap doubled the time of the garbage collector.)
 */
const ORIGIN = Symbol('origin');

function findOrigin(changeSet: object): Origin | undefined {
  const origin: Origin | undefined = Reflect.get(changeSet, ORIGIN);
  return origin?.self === changeSet ? origin : undefined;
}

/** The origin of a lazily decoded change set, even if a hook has changed that. */
export function originOf(changeSet: object): WireChangeSet | undefined {
  return findOrigin(changeSet)?.wire;
}

/**
 * The same, if no hook has read anything that it could change: then the change set equals its
 * origin.
 */
export function untouchedOrigin(changeSet: object): WireChangeSet | undefined {
  const origin = findOrigin(changeSet);
  return origin === undefined || origin.isTouched ? undefined : origin.wire;
}

type Key = keyof ChangeSet;

/** @param isFixed its value is immutable, so reading it is not touching it */
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

/** Shared by all change sets: one with functions of its own took three times as long to make. */
const PROPERTIES = [
  property('siteId', (wire) => textToSiteId(wire.siteId)),
  property('transactionId', (wire) => wire.transactionId, true),
  property('hlc', (wire) => decodeHlc(wire.hlc)),
  property('changes', (wire) => wire.changes.map(decodeChange)),
  property('schemaMigrations', (wire) => wire.schemaMigrations.map(decodeMigration)),
];

/**
 * Makes an object that behaves like an ordinary one: its properties can be set, spread and listed.
 */
export function decodeLazily(wire: WireChangeSet): ChangeSet {
  const changeSet = {};
  const origin: Origin = { wire, isTouched: false, seen: {}, self: changeSet };
  Object.defineProperty(changeSet, ORIGIN, { value: origin });
  for (const [key, descriptor] of PROPERTIES) Object.defineProperty(changeSet, key, descriptor);
  // The properties that have just been defined are all of them.
  return changeSet as ChangeSet;
}
