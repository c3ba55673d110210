/**
 * A change set as hooks see it, decoded when somebody looks. Most hooks look at little, and
 * decoding a batch costs as much as parsing it did.
 */

import { decodeHlc } from '../clock/hlc.ts';
import { textToSiteId } from '../clock/site-id.ts';
import type { WireChangeSet } from './schemas.ts';
import { type ChangeSet, decodeChange, decodeMigration } from './types.ts';

interface Origin {
  wire: WireChangeSet;
  isTouched: boolean;
  /** The object itself: what inherits from it or stands before it may show something else. */
  self?: object;
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

/** An ordinary object to whoever gets it: its properties can be set, spread and listed. */
export function decodeLazily(wire: WireChangeSet): ChangeSet {
  const origin: Origin = { wire, isTouched: false };
  const seen: Partial<ChangeSet> = {};
  const see = <Key extends keyof ChangeSet>(key: Key, decode: () => ChangeSet[Key]) => {
    origin.isTouched = true;
    const known: ChangeSet[Key] | undefined = seen[key];
    const value = known ?? decode();
    seen[key] = value;
    return value;
  };
  const set = <Key extends keyof ChangeSet>(key: Key, value: ChangeSet[Key]) => {
    origin.isTouched = true;
    seen[key] = value;
  };
  const changeSet: ChangeSet = {
    get siteId() {
      return see('siteId', () => textToSiteId(wire.siteId));
    },
    set siteId(value) {
      set('siteId', value);
    },
    get transactionId() {
      return seen.transactionId ?? wire.transactionId;
    },
    set transactionId(value) {
      set('transactionId', value);
    },
    get hlc() {
      return see('hlc', () => decodeHlc(wire.hlc));
    },
    set hlc(value) {
      set('hlc', value);
    },
    get changes() {
      return see('changes', () => wire.changes.map(decodeChange));
    },
    set changes(value) {
      set('changes', value);
    },
    get schemaMigrations() {
      return see('schemaMigrations', () => wire.schemaMigrations.map(decodeMigration));
    },
    set schemaMigrations(value) {
      set('schemaMigrations', value);
    },
  };
  origin.self = changeSet;
  return Object.defineProperty(changeSet, ORIGIN, { value: origin });
}
