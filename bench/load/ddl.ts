/** A device that makes and drops tables, and writes nothing to them. */

import type WebSocket from 'ws';
import { type Ddl, DdlMaker } from '../lib/messages.ts';
import { serveProgram } from '../lib/program.ts';
import { openSession, TYPE, typeOf } from '../lib/sockets.ts';

export interface DdlBatch {
  /** The statements of each transaction. */
  transactions: readonly (readonly Ddl[])[];
  /** How long ago the device made them. */
  agoMs: number;
}

/** The coordinator looks at a whole message before anything else gets its turn. */
const TRANSACTIONS_PER_MESSAGE = 100;

let socket: WebSocket;
let maker: DdlMaker;

/** Others' changes are pushed meanwhile, several in a turn, so nothing may be missed between two. */
function nextAnswer(): Promise<string> {
  return new Promise((resolve, reject) => {
    const take = (data: Buffer) => {
      if (typeOf(data) === TYPE.error) reject(new Error(data.toString()));
      else if (typeOf(data) === TYPE.applyResult) resolve(data.toString());
      else return;
      socket.off('message', take).off('close', fail);
    };
    const fail = (code: number) => reject(new Error(`closed with ${code}`));
    socket.on('message', take).on('close', fail);
  });
}

async function send(changeSets: readonly string[], statements: number): Promise<void> {
  const answered = nextAnswer();
  socket.send(`{"type":"apply_changes","changes":[${changeSets.join(',')}]}`);
  const answer = await answered;
  if (!answer.includes(`"applied":${statements},`)) throw new Error(`not all applied: ${answer}`);
}

const methods = serveProgram({
  async connect({ url, databaseId }: { url: string; databaseId: string }) {
    socket?.terminate();
    maker = new DdlMaker();
    socket = await openSession(url, maker.siteText, databaseId);
  },
  /** @returns milliseconds until the last was acknowledged */
  async apply({ transactions, agoMs }: DdlBatch): Promise<number> {
    const startedAt = performance.now();
    for (let from = 0; from < transactions.length; from += TRANSACTIONS_PER_MESSAGE) {
      const group = transactions.slice(from, from + TRANSACTIONS_PER_MESSAGE);
      const changeSets = group.map((statements) => maker.next(statements, agoMs));
      await send(changeSets, group.flat().length);
    }
    return performance.now() - startedAt;
  },
});

export type DdlLoad = typeof methods;
