/**
 * The limit of fan-out: a bare ws server that sends what one socket says to all others, as a frame
 * of the size that the server's has, and acknowledges it. It stores nothing and reads nothing.
 */

import { once } from 'node:events';
import { WebSocketServer } from 'ws';
import { portOf } from '../lib/port-of.ts';
import { serveProgram } from '../lib/program.ts';

const OPENING = Buffer.from('{"type":"push_changes","changeSets":');
const CLOSING = Buffer.from('}');
const RECEIVED_OPENING_BYTES = '{"type":"apply_changes","changes":'.length;
const RESULT = Buffer.from(
  '{"type":"apply_result","requestId":"1000","applied":1,"skipped":0,"conflicts":0,"transactions":1}',
);

const methods = serveProgram({
  async listen() {
    const server = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      perMessageDeflate: false,
      skipUTF8Validation: true,
    });
    server.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => {
        const changes = data.subarray(RECEIVED_OPENING_BYTES, data.lastIndexOf(',"requestId"'));
        const frame = Buffer.concat([OPENING, changes, CLOSING]);
        for (const other of server.clients) {
          if (other !== socket) other.send(frame, { binary: false });
        }
        socket.send(RESULT, { binary: false });
      });
    });
    await once(server, 'listening');
    return `ws://127.0.0.1:${portOf(server)}`;
  },
});

export type BroadcastLimit = typeof methods;
