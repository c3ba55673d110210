/** Starts a contender in a process of its own. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/free-port.ts';
import type { RunContext } from '../lib/run-context.ts';
import type { Contender } from './contenders.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const START_MS = 10_000;
const RETRY_MS = 50;

export interface ContenderServer {
  pid: number;
  url: string;
  stop(): Promise<void>;
}

export async function startContender(
  context: RunContext,
  { program, path }: Contender,
): Promise<ContenderServer> {
  if (program === undefined) {
    const server = await context.server();
    return { pid: server.pid, url: server.wsUrl, stop: () => server.stop() };
  }
  // They print the port that they were told, so it has to be one that is free.
  const port = await freePort();
  // They take the port from there, and where they take them the host and the directory.
  const address = { HOST: '127.0.0.1', PORT: String(port), DATA_DIR: context.newDirectory() };
  const env = { ...process.env, ...address, NODE_ENV: 'production' };
  const loader = program.endsWith('.ts') ? ['--import', 'tsx'] : [];
  const child = spawn(process.execPath, [...loader, program], {
    ...{ cwd: HERE, env, stdio: ['ignore', 'ignore', 'inherit'] },
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  };
  context.onStop(stop);
  await accepts(port);
  return { pid: child.pid ?? 0, url: `ws://127.0.0.1:${port}${path}`, stop };
}

async function accepts(port: number): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(RETRY_MS);
    } finally {
      socket.destroy();
    }
  }
}
