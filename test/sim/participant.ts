/** What a simulation and its oracles see of a device, whatever stands behind it. */

import type { HlcText } from '../../src/clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../../src/protocol/schemas.ts';
import type { Replica } from '../support/replica.ts';

/** A transaction of a device's own, as it is sent. */
export interface OwnSet {
  readonly set: WireChangeSet;
  readonly isAcknowledged: boolean;
}

/** The tables of a device as an app would find them. */
export interface TableView {
  tables(): string[];
  has(table: string): boolean;
  contents(): Record<string, Record<string, unknown>>;
  /** Changes to tables that are not there. */
  readonly held: readonly WireChange[];
  /** Keys of rows that the device may have otherwise than everybody else. */
  readonly strayed: ReadonlySet<string>;
}

export interface Participant {
  readonly siteId: string;
  readonly databaseId: string;
  /** Whether it may not see the table `secret`. */
  readonly isRestricted: boolean;
  /** Whether it pushes back what it received. */
  readonly relays: boolean;
  readonly own: readonly OwnSet[];
  readonly replica: Pick<Replica, 'contents'>;
  /** Places of the DDL that it knows. */
  readonly migrations: ReadonlySet<string>;
  readonly tables: { readonly catalog: TableView } | undefined;
  readonly watermark: HlcText | undefined;
  readonly refusals: number;
  readonly isTakingSnapshot: boolean;
  /** Whether it has been answered everything. */
  readonly isSettled: boolean;
  /** Whether it is connected, and hears of everything that is pushed. */
  readonly isConnectedForGood: boolean;
  readonly isStartingOver: boolean;
  isHealing: boolean;
  isListening: boolean;
  isAway: boolean;
  isHearingSlowly: boolean;
  skewMs: number;
  /** It does something, or nothing. */
  step(): void;
  write(): void;
  changeTables(): void;
  stall(): void;
  disconnect(): void;
  leave(): void;
  /** @throws when something is not as it must be, in the end */
  check?(): void;
}
