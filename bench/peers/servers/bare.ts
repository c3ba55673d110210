/**
 * The limit of a server that persists: it parses each transaction, syncs it to LevelDB, and writes one
 * frame, made once, to the TCP socket of each other client. It speaks as much of the coordinator's protocol as
 * the clients here need.
 */

import type { Socket } from 'node:net';
import { WebSocketServer } from 'ws';
import { toTextFrame } from '../../../src/sessions/text-frames.ts';
import { BareStore, type DeviceMessage } from '../../lib/bare-store.ts';

const { HOST, PORT, DATA_DIR = '' } = process.env;
const store = new BareStore(DATA_DIR);
const listeners = new Set<Socket>();
const server = new WebSocketServer({
  host: HOST,
  port: Number(PORT),
  perMessageDeflate: false,
  skipUTF8Validation: true,
});

function textFrame(text: string): Buffer {
  return toTextFrame([Buffer.from(text)]);
}

server.on('connection', (socket, { socket: own }) => {
  listeners.add(own);
  own.on('close', () => listeners.delete(own));
  socket.on('message', (data: Buffer) => {
    const { type, requestId, changes }: DeviceMessage = JSON.parse(data.toString());
    if (type === 'handshake') {
      own.write(textFrame('{"type":"handshake_ack"}'));
      return;
    }
    const answer = () => {
      const frame = textFrame(JSON.stringify({ type: 'push_changes', changeSets: changes }));
      for (const listener of listeners) if (listener !== own) listener.write(frame);
      const result = { type: 'apply_result', requestId, applied: 1, skipped: 0, conflicts: 0 };
      own.write(textFrame(JSON.stringify(result)));
    };
    store.add({ changeSets: changes, answer });
  });
});
