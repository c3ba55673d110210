/**
 * What no coordinator that keeps what it is sent gets below: writes each transaction to LevelDB as a
 * record and its rows, and syncs what came meanwhile as one group. It checks, reads and merges nothing.
 */

import { ClassicLevel } from 'classic-level';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';

/** A message of a device, as far as a bare server reads it. */
export interface DeviceMessage {
  type: string;
  requestId?: string;
  changes: WireChangeSet[];
}

interface Waiting {
  changeSets: WireChangeSet[];
  answer(): void;
}

export class BareStore {
  readonly #level: ClassicLevel<Uint8Array, Uint8Array>;
  #waiting: Waiting[] = [];
  #isWriting = false;

  constructor(directory: string) {
    this.#level = new ClassicLevel(directory, {
      ...{ keyEncoding: 'view', valueEncoding: 'view', writeBufferSize: 16 * 1024 * 1024 },
    });
  }

  add(waiting: Waiting): void {
    this.#waiting.push(waiting);
    if (!this.#isWriting) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    await this.#level.open();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0);
      const batch = this.#level.batch();
      const put = (key: string, value: string) => batch.put(Buffer.from(key), Buffer.from(value));
      for (const changeSet of group.flatMap(({ changeSets }) => changeSets)) {
        put(`l${changeSet.hlc}`, JSON.stringify(changeSet));
        for (const [pk, text] of rowsOf(changeSet)) put(`r${pk}`, text);
      }
      await batch.write({ sync: true });
      for (const { answer } of group) answer();
    }
    this.#isWriting = false;
  }
}

function rowsOf({ changes }: WireChangeSet): Map<unknown, string> {
  const rows = new Map<unknown, string>();
  for (const change of changes) {
    if (change.type !== 'column') continue;
    const [pk] = change.pk;
    const cell = `\n${change.hlc}\t${change.column}\t${JSON.stringify(change.value)}`;
    rows.set(pk, (rows.get(pk) ?? '') + cell);
  }
  return rows;
}
