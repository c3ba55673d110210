/** The limit of a round trip: a bare ws server that sends back what it gets. */

import { listenBare } from '../lib/bare-server.ts';
import { serveProgram } from '../lib/program.ts';

const methods = serveProgram({
  listen: () =>
    listenBare((socket) => {
      socket.on('message', (data: Buffer) => socket.send(data, { binary: false }));
    }),
});

export type EchoLimit = typeof methods;
