/**
 * The limit of fan-out: a bare ws server that sends what one socket says to all others, as a frame
 * of the size that the server's has, and acknowledges it. It stores nothing and reads nothing.
 */

import { listenBare } from '../lib/bare-server.ts';
import { serveProgram } from '../lib/program.ts';

const OPENING = Buffer.from('{"type":"push_changes","changeSets":');
const CLOSING = Buffer.from('}');
const RECEIVED_OPENING_BYTES = '{"type":"apply_changes","changes":'.length;
const RESULT = Buffer.from(
  '{"type":"apply_result","requestId":"1000","applied":1,"skipped":0,"conflicts":0,"transactions":1}',
);

const methods = serveProgram({
  listen: () =>
    listenBare((socket, server) => {
      socket.on('message', (data: Buffer) => {
        const changes = data.subarray(RECEIVED_OPENING_BYTES, data.lastIndexOf(',"requestId"'));
        const frame = Buffer.concat([OPENING, changes, CLOSING]);
        for (const other of server.clients) {
          if (other !== socket) other.send(frame, { binary: false });
        }
        socket.send(RESULT, { binary: false });
      });
    }),
});

export type BroadcastLimit = typeof methods;
