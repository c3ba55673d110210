/** Asks a server for a snapshot, and keeps what it says. */

import WebSocket from 'ws';
import { TransactionMaker } from '../lib/messages.ts';
import type { Recording } from './replay.ts';

export function record(url: string, databaseId: string): Promise<Recording> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    const send = (message: object) => socket.send(JSON.stringify(message));
    let ack = '';
    const snapshot: string[] = [];
    const { siteText: siteId } = new TransactionMaker();
    socket.on('open', () => send({ type: 'handshake', siteId, databaseId, protocolVersion: 1 }));
    socket.on('error', reject);
    socket.on('message', (data) => {
      const text = String(data);
      const { type } = JSON.parse(text);
      if (type === 'handshake_ack') {
        ack = text;
        send({ type: 'get_snapshot' });
      } else if (type === 'snapshot_chunk') {
        snapshot.push(text);
      } else if (type === 'snapshot_complete') {
        socket.terminate();
        resolve({ ack, snapshot });
      } else reject(new Error(text));
    });
  });
}
