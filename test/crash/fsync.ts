/** Shows, by the system calls of a real server, that each acknowledgement follows an fsync. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';

const TRANSACTIONS = 50;

export function canTrace(): boolean {
  return spawnSync('strace', ['-V']).status === 0;
}

/**
 * Writes one transaction after the other, each when the one before was acknowledged.
 * @returns how many acknowledgements there were, each with an fsync since the one before
 */
export async function checkFsyncs(
  dataDir: string,
  owner: { after(fn: () => unknown): void },
): Promise<number> {
  const log = join(dataDir, 'strace.log');
  const calls = 'trace=fdatasync,fsync,write,writev,sendto,sendmsg';
  const wrapper = `strace -D -f -s 120 -e ${calls} -o ${log}`;
  const server = await startChildServer(owner, { dataDir, wrapper });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, owner);
  for (let i = 0; i < TRANSACTIONS; i++) {
    const answer = await client.apply(device.write({ pk: [i % 5], set: { x: i } }));
    assert.equal(answer.type, 'apply_result');
  }
  await server.kill('SIGTERM');
  let synced = false;
  let acknowledged = 0;
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    // "<unfinished ...>" and "<... fdatasync resumed>" tell when a call has ended.
    if (/\b(fdatasync|fsync)(\(\d+\)| resumed>\)) += 0/.test(line)) synced = true;
    if (!/\b(write|writev|sendto|sendmsg)\(.*apply_result/.test(line)) continue;
    assert.ok(synced, `an acknowledgement without an fsync since the last one: ${line}`);
    acknowledged++;
    synced = false;
  }
  assert.equal(acknowledged, TRANSACTIONS);
  return acknowledged;
}
