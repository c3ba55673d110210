/** The server as it is built, in a process of its own, with an embedded store that goes with it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';

const COMMAND = fileURLToPath(new URL('../../dist/src/bin/sync-coordinator.js', import.meta.url));
/** Of /proc: clock ticks are hundredths of a second on Linux. */
const TICK_MS = 10;

export interface ServerProcess {
  wsUrl: string;
  /** Processor time that it has taken so far, in milliseconds, user and system. */
  cpuMs(): number;
  stop(): Promise<void>;
}

export async function startServerProcess(
  config: CoordinatorConfigInput = {},
): Promise<ServerProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-bench-'));
  const configPath = join(directory, 'sync-coordinator.json');
  writeFileSync(configPath, JSON.stringify(config));
  const args = ['--config', configPath, '--host', '127.0.0.1', '--port', '0'];
  const nodeArgs = (process.env.BENCH_NODE_ARGS ?? '').split(' ').filter(Boolean);
  const command = [...nodeArgs, COMMAND, ...args, '--data-dir', join(directory, 'data')];
  const child = spawn(process.execPath, command, {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await readPort(child);
  return {
    wsUrl: `ws://127.0.0.1:${port}/sync/ws`,
    cpuMs: () => cpuMsOf(child.pid ?? 0),
    async stop() {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function readPort(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout?.on('data', (data) => {
      output += data;
      const [, port] = /ws +ws:\/\/[^:]+:(\d+)/.exec(output) ?? [];
      if (port !== undefined) resolve(port);
    });
    child.once('exit', () => reject(new Error(`the server ended: ${output}`)));
  });
}

/** The 14th and 15th field; the second, a name in parentheses, may hold blanks. */
function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return (user + system) * TICK_MS;
}
