/**
 * What no coordinator of this kind gets below: a bare ws server that parses each transaction, writes
 * it to a LevelDB of its connection as a record and its rows, syncs what came meanwhile as one
 * group, and answers. It checks, reads, merges and pushes nothing.
 */

import { ClassicLevel } from 'classic-level';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { listenBare } from '../lib/bare-server.ts';
import { serveProgram } from '../lib/program.ts';

interface Message {
  type: string;
  requestId?: string;
  changes: WireChangeSet[];
}

interface Waiting {
  changeSets: WireChangeSet[];
  answer(): void;
}

class Writer {
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

let writers = 0;

const methods = serveProgram({
  listen: ({ directory }: { directory: string }) =>
    listenBare((socket) => {
      const writer = new Writer(`${directory}-${writers++}`);
      socket.on('message', (data: Buffer) => {
        const { type, requestId, changes }: Message = JSON.parse(data.toString());
        if (type === 'handshake') return socket.send('{"type":"handshake_ack"}');
        const answer = { type: 'apply_result', requestId, applied: 1, skipped: 0, conflicts: 0 };
        writer.add({ changeSets: changes, answer: () => socket.send(JSON.stringify(answer)) });
      });
    }),
});

export type BareWriter = typeof methods;
