/**
 * A bare ws server that parses each transaction, puts it into a LevelDB of its connection, and answers
 * when it is synced. It pushes nothing.
 */

import { listenBare } from '../lib/bare-server.ts';
import { BareStore, type DeviceMessage } from '../lib/bare-store.ts';
import { serveProgram } from '../lib/program.ts';

let stores = 0;

const methods = serveProgram({
  listen: ({ directory }: { directory: string }) =>
    listenBare((socket) => {
      const store = new BareStore(`${directory}-${stores++}`);
      socket.on('message', (data: Buffer) => {
        const { type, requestId, changes }: DeviceMessage = JSON.parse(data.toString());
        if (type === 'handshake') return socket.send('{"type":"handshake_ack"}');
        const answer = { type: 'apply_result', requestId, applied: 1, skipped: 0, conflicts: 0 };
        store.add({ changeSets: changes, answer: () => socket.send(JSON.stringify(answer)) });
      });
    }),
});

export type BareWriter = typeof methods;
