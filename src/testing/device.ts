/** A device for tests: it makes change sets with an HLC clock of its own. */

import { encodeHlc, type HlcText } from '../clock/hlc.ts';
import { siteIdToText } from '../clock/site-id.ts';
import type { MigrationType } from '../protocol/constants.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../protocol/schemas.ts';

export function siteBytes(number: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(12, number);
  return bytes;
}

/** `[column, value]` pairs written to one row, or a delete of it. */
export type RowWrite =
  | { pk: unknown[]; set: Record<string, unknown>; table?: string; schema?: string }
  | { pk: unknown[]; delete: true; table?: string; schema?: string };

export class Device {
  readonly siteId: string;
  readonly #bytes: Uint8Array;
  /** Wall time of the next transaction, in milliseconds; each transaction adds one. */
  wallTime: number;

  constructor(number: number, wallTime = 1_700_000_000_000) {
    this.#bytes = siteBytes(number);
    this.siteId = siteIdToText(this.#bytes);
    this.wallTime = wallTime;
  }

  hlc(wallTime: number, opSeq = 0): HlcText {
    return encodeHlc({ wallTime: BigInt(wallTime), counter: 0, siteId: this.#bytes, opSeq });
  }

  /** Makes one transaction. */
  write(...writes: RowWrite[]): WireChangeSet {
    const wallTime = this.wallTime++;
    const changes: WireChange[] = [];
    for (const write of writes) {
      const { pk, table = 't', schema = 'main' } = write;
      if ('delete' in write) {
        changes.push({
          type: 'delete',
          schema,
          table,
          pk,
          hlc: this.hlc(wallTime, changes.length),
        });
        continue;
      }
      for (const [column, value] of Object.entries(write.set)) {
        const hlc = this.hlc(wallTime, changes.length);
        changes.push({ type: 'column', schema, table, pk, column, value, hlc });
      }
    }
    return this.#changeSet(wallTime, changes, []);
  }

  migrate(
    type: MigrationType,
    table: string,
    more: { fromTable?: string; schemaVersion?: number; ddl?: string } = {},
  ): WireChangeSet {
    const wallTime = this.wallTime++;
    const migration: WireMigration = {
      type,
      schema: 'main',
      table,
      ddl: `${type} ${table}`,
      hlc: this.hlc(wallTime),
      schemaVersion: 1,
      ...more,
    };
    return this.#changeSet(wallTime, [], [migration]);
  }

  #changeSet(
    wallTime: number,
    changes: WireChange[],
    schemaMigrations: WireMigration[],
  ): WireChangeSet {
    const last = Math.max(0, changes.length - 1);
    return {
      siteId: this.siteId,
      transactionId: `${wallTime}:0:${this.siteId}`,
      hlc: this.hlc(wallTime, last),
      changes,
      schemaMigrations,
    };
  }
}
