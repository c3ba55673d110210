/** Sessions that do nothing, each a bare TCP connection. */

import { TransactionMaker } from '../lib/messages.ts';
import { serveProgram } from '../lib/program.ts';
import { RawListener } from '../lib/raw-listener.ts';

export interface IdleTarget {
  url: string;
  sessions: number;
  /** Of all of them; none for the echo server. */
  databaseId?: string;
  /** Each has a database of its own instead, called so and a number. */
  databasePrefix?: string;
}

const CONNECTING_AT_ONCE = 50;

const sockets: RawListener[] = [];
let closed = 0;

const methods = serveProgram({
  async connect({ url, sessions, databaseId, databasePrefix }: IdleTarget) {
    let left = sessions;
    const connectSome = async () => {
      while (left > 0) {
        const number = left--;
        const socket = await RawListener.open(url);
        socket.onClose = () => closed++;
        const id = databasePrefix === undefined ? databaseId : `${databasePrefix}${number}`;
        if (id !== undefined) await socket.join(new TransactionMaker().siteText, id);
        sockets.push(socket);
      }
    };
    await Promise.all(Array.from({ length: CONNECTING_AT_ONCE }, connectSome));
  },
  /** How many the server has ended. */
  closed: () => closed,
  close() {
    for (const listener of sockets.splice(0)) {
      listener.onClose = () => {};
      listener.socket.destroy();
    }
  },
});

export type IdleLoad = typeof methods;
