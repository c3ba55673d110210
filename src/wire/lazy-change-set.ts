/**
 * A change set as hooks see it, decoded when a hook reads it. Most hooks read little, and decoding
 * a batch costs as much as parsing it did.
 */

import { decodeHlc } from '../clock/hlc.ts';
import { textToSiteId } from '../clock/site-id.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import {
  type Change,
  type ChangeSet,
  decodeChange,
  decodeMigration,
  type SchemaMigration,
} from '../protocol/types.ts';

interface Origin {
  wire: WireChangeSet;
  /**
   * The change set itself. An object that inherits from it, or a proxy, may have other properties.
   */
  self: object;
  /** Properties that a hook has had decoded, or has set. */
  seen: Partial<ChangeSet> | undefined;
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

/**
 * The origin of a lazily decoded change set, if no hook has read anything that it could change:
 * then the change set equals its origin.
 */
export function untouchedOrigin(changeSet: object): WireChangeSet | undefined {
  const origin = findOrigin(changeSet);
  if (origin === undefined || origin.seen !== undefined) return undefined;
  const { wire } = origin;
  if (Reflect.get(changeSet, 'transactionId') !== wire.transactionId) return undefined;
  return hasDdl(wire) || isEmpty(Reflect.get(changeSet, 'schemaMigrations')) ? wire : undefined;
}

/**
 * What a change set holds, without decoding what no hook has read yet. Only for what has one form:
 * names and texts.
 */
export function undecoded(changeSet: ChangeSet): {
  changes: readonly Pick<Change, 'schema' | 'table'>[];
  schemaMigrations: readonly Omit<SchemaMigration, 'hlc'>[];
} {
  return untouchedOrigin(changeSet) ?? changeSet;
}

function hasDdl({ schemaMigrations }: WireChangeSet): boolean {
  return schemaMigrations.length > 0;
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function accessor<K extends keyof ChangeSet>(
  key: K,
  decode: (wire: WireChangeSet) => ChangeSet[K],
): PropertyDescriptor {
  const seenOf = (changeSet: object): Partial<ChangeSet> => {
    const origin: Origin = Reflect.get(changeSet, ORIGIN);
    origin.seen ??= {};
    return origin.seen;
  };
  return {
    enumerable: true,
    configurable: true,
    get(this: object): ChangeSet[K] {
      const seen = seenOf(this);
      const known: ChangeSet[K] | undefined = seen[key];
      const value = known ?? decode(Reflect.get(this, ORIGIN).wire);
      seen[key] = value;
      return value;
    },
    set(this: object, value: ChangeSet[K]): void {
      seenOf(this)[key] = value;
    },
  };
}

/** Shared by all change sets: one with functions of its own took three times as long to make. */
const SITE_ID = accessor('siteId', (wire) => textToSiteId(wire.siteId));
const HLC = accessor('hlc', (wire) => decodeHlc(wire.hlc));
const CHANGES = accessor('changes', (wire) => wire.changes.map(decodeChange));
const DDL = accessor('schemaMigrations', (wire) => wire.schemaMigrations.map(decodeMigration));

/**
 * Makes an object that behaves like an ordinary one: its properties can be set, spread and listed.
 * What costs nothing to decode is an ordinary property, since an accessor takes 0.12 µs to define,
 * and each module gets an object of its own.
 */
export function decodeLazily(wire: WireChangeSet): ChangeSet {
  const changeSet: Partial<ChangeSet> = {};
  const origin: Origin = { wire, self: changeSet, seen: undefined };
  Object.defineProperty(changeSet, ORIGIN, { value: origin });
  Object.defineProperty(changeSet, 'siteId', SITE_ID);
  changeSet.transactionId = wire.transactionId;
  Object.defineProperty(changeSet, 'hlc', HLC);
  Object.defineProperty(changeSet, 'changes', CHANGES);
  if (hasDdl(wire)) Object.defineProperty(changeSet, 'schemaMigrations', DDL);
  else changeSet.schemaMigrations = [];
  // All its properties are there.
  return changeSet as ChangeSet;
}
