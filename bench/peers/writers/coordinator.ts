/** A device of the coordinator. */

import { randomBytes } from 'node:crypto';
import { encodeHlc } from '../../../src/clock/hlc.ts';
import { siteIdToText } from '../../../src/clock/site-id.ts';
import { openSession, TYPE, typeOf } from '../../lib/sockets.ts';
import type { Write } from '../contenders.ts';

const HOUR_MS = 3_600_000;

export async function openWriter(url: string, databaseId: string): Promise<Write> {
  const site = new Uint8Array(randomBytes(16));
  const siteId = siteIdToText(site);
  let wallTime = BigInt(Date.now() - HOUR_MS);
  const socket = await openSession(url, siteId, databaseId);
  socket.on('message', (data: Buffer) => {
    if (typeOf(data) === TYPE.error) throw new Error(data.toString());
  });
  return (row, value) => {
    const hlc = encodeHlc({ wallTime: ++wallTime, counter: 0, siteId: site, opSeq: 0 });
    const cell = { schema: 'main', table: 'tasks', pk: [row], column: 'column_0', value, hlc };
    const changes = [{ type: 'column', ...cell }];
    const set = { siteId, transactionId: `${siteId}-${row}`, hlc, changes, schemaMigrations: [] };
    socket.send(
      JSON.stringify({ type: 'apply_changes', changes: [set], requestId: String(wallTime) }),
    );
  };
}
