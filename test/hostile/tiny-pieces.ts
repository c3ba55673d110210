/** Bodies and messages in the smallest pieces that there are: each piece costs more than what is in it. */

import assert from 'node:assert/strict';
import { Device } from '../../src/testing/device.ts';
import { metricOf } from '../support/child-server.ts';
import { frameHeader, heardOf, joinRaw, openRaw, type RawSocket, writeAll } from './raw-socket.ts';
import type { Attack, AttackContext } from './scenarios.ts';

const PEERS = 4;
const CHUNKS_AT_ONCE = 10_000;

/** Bodies of a server that would take them: some in chunks of one byte, the others of as few as may be. */
export async function sendTinyChunks({ server, owner, scale }: AttackContext): Promise<Attack> {
  let refused = 0;
  const sent = Array.from({ length: 2 * PEERS }, async (_, i) => {
    const bytes = i % 2 === 0 ? 1 : 70;
    const chunk = `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`;
    const chunks = Buffer.from(chunk.repeat(CHUNKS_AT_ONCE));
    const raw = await openRaw(server.port);
    owner.after(() => raw.socket.destroy());
    const { siteId } = new Device(100 + i);
    raw.socket.write(
      'POST /sync/changes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n' +
        `X-Site-Id: ${siteId}\r\n\r\n`,
    );
    const most = (1_500_000 * scale) / bytes;
    for (let at = 0; at < most && !raw.socket.destroyed; at += CHUNKS_AT_ONCE) {
      await writeAll(raw, chunks);
    }
    raw.socket.write('0\r\n\r\n');
    await heardOf(raw, '"code"');
    assert.match(raw.heard().toString(), /^HTTP\/1\.1 400 .*"MESSAGE_ERROR"/s);
    if (raw.heard().includes('bytes a chunk')) refused++;
  });
  return {
    async ended() {
      await Promise.all(sent);
      assert.equal(refused, PEERS);
      return `${PEERS} bodies were refused at once, ${PEERS} read to their end, and are no JSON`;
    },
  };
}

/** Halves of messages: in as many frames of one byte as a message may have, and in more. */
export async function sendTinyFrames(context: AttackContext): Promise<Attack> {
  const { server, scale } = context;
  const tiny = Buffer.concat([frameHeader(1, { opcode: 0, fin: false }), Buffer.from('x')]);
  const halves = [250, 250, 3000, 20_000].map((frames) =>
    Buffer.concat([frameHeader(0, { fin: false }), ...Array<Buffer>(frames).fill(tiny)]),
  );
  const peers: RawSocket[] = [];
  for (let i = 0; i < 400 * scale; i++) {
    const raw = await joinRaw(context, 100 + i);
    await writeAll(raw, halves[i % halves.length] ?? tiny);
    peers.push(raw);
  }
  return {
    async ended() {
      await Promise.all(peers.map(({ ended }) => ended));
      while ((await metricOf(server, 'sync_connections')) > 1) await new Promise(setImmediate);
      return `${peers.length} were closed for what they never ended`;
    },
  };
}
