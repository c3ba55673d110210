/**
 * A well-behaved client in a process of its own: writes one transaction after the other, each
 * when the one before was acknowledged, and tells how long each took.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';

const ROWS = 50;
const COLUMNS = 10;

export interface Load {
  transactions: number;
  /** Of each transaction, about. */
  bytes: number;
}

export interface Prober {
  /** @returns how long each transaction took until it was acknowledged, in milliseconds */
  write(load: Load): Promise<number[]>;
}

export async function startProber(
  owner: { after(fn: () => unknown): void },
  wsUrl: string,
): Promise<Prober> {
  const child = fork(fileURLToPath(import.meta.url), [wsUrl], { execArgv: ['--import', 'tsx'] });
  owner.after(() => child.kill('SIGKILL'));
  await once(child, 'message');
  return {
    async write(load) {
      child.send(load);
      const [latenciesMs] = await once(child, 'message');
      return latenciesMs;
    },
  };
}

async function serveParent(wsUrl: string): Promise<void> {
  const device = new Device(7777);
  const client = await TestClient.join(wsUrl, device);
  let row = 0;
  const write = async ({ transactions, bytes }: Load) => {
    const value = 'v'.repeat(Math.ceil(bytes / COLUMNS));
    const set = Object.fromEntries(Array.from({ length: COLUMNS }, (_, i) => [`c${i}`, value]));
    const latenciesMs: number[] = [];
    for (let i = 0; i < transactions; i++) {
      const changeSet = device.write({ pk: [row++ % ROWS], set });
      const startMs = performance.now();
      const answer = await client.apply(changeSet);
      if (answer.applied !== COLUMNS) throw new Error(JSON.stringify(answer));
      latenciesMs.push(performance.now() - startMs);
      // Nobody looks at them again.
      client.log.length = 0;
      client.received.length = 0;
    }
    return latenciesMs;
  };
  process.on('message', async (load: Load) => process.send?.(await write(load)));
  process.send?.('ready');
}

const [, path, wsUrl] = process.argv;
if (path === fileURLToPath(import.meta.url) && wsUrl !== undefined) await serveParent(wsUrl);
