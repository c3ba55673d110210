/** The limit of a round trip: a bare ws server that sends back what it gets. */

import { once } from 'node:events';
import { WebSocketServer } from 'ws';
import { portOf } from '../lib/port-of.ts';
import { serveProgram } from '../lib/program.ts';

const methods = serveProgram({
  async listen() {
    const server = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      perMessageDeflate: false,
      skipUTF8Validation: true,
    });
    server.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => socket.send(data, { binary: false }));
    });
    await once(server, 'listening');
    return `ws://127.0.0.1:${portOf(server)}`;
  },
});

export type EchoLimit = typeof methods;
