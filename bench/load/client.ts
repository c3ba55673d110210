/** The client in Node, in memory. */

import { memoryStore } from '@sync-coordinator/client/memory';
import { bootstrap, parse, push, type Recording, write } from '../client/replay.ts';
import { TransactionMaker } from '../lib/messages.ts';
import { serveProgram } from '../lib/program.ts';

let recording: Recording;

const methods = serveProgram({
  use(given: Recording) {
    recording = given;
  },
  bootstrap: () => bootstrap(recording, memoryStore()),
  parse: () => parse(recording),
  write: ({ writes }: { writes: number }) => write(memoryStore(), writes),
  push({ pushes, rows }: { pushes: number; rows: number }) {
    const maker = new TransactionMaker({ agoMs: 0 });
    const texts = Array.from({ length: pushes }, () => {
      const changeSet = maker.next({ changes: 1, updateRows: rows });
      return `{"type":"push_changes","changeSets":[${changeSet}]}`;
    });
    return push(recording, texts, memoryStore());
  },
});

export type ClientLoad = typeof methods;
