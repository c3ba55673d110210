/** The server as it is built, in a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { cpuMsOf } from './process-usage.ts';

export const COMMAND = fileURLToPath(
  new URL('../../dist/src/bin/sync-coordinator.js', import.meta.url),
);
const DAY_MS = 24 * 60 * 60 * 1000;

export interface ServerOptions {
  dataDir?: string;
  hooks?: CoordinatorConfigInput['hooks'];
  /** Where it keeps its data, if not in `dataDir`. */
  storageUrl?: string;
  /** How often it tidies its databases up; never amid a measurement, unless given. */
  maintenanceMs?: number;
  /** Whether it compresses over WebSocket. */
  compresses?: boolean;
  /** Makes it leave a CPU profile there when it stops. */
  profileDirectory?: string | undefined;
  /** What the profile is called. */
  profileName?: string;
}

export interface ServerProcess {
  pid: number;
  dataDir: string;
  wsUrl: string;
  /** Processor time that it has taken so far, in milliseconds, user and system. */
  cpuMs(): number;
  stop(): Promise<void>;
}

export async function startServerProcess(
  options: ServerOptions & { dataDir: string },
): Promise<ServerProcess> {
  const { dataDir, hooks, storageUrl, maintenanceMs = DAY_MS, compresses } = options;
  const { profileDirectory, profileName } = options;
  mkdirSync(dataDir, { recursive: true });
  const configPath = join(dataDir, '..', `config-${process.pid}.json`);
  // All defaults, but for what the clock would start amid a measurement.
  const config: CoordinatorConfigInput = {
    hooks,
    storage: { url: storageUrl, maintenanceMs },
    compression: { websocket: compresses },
    logging: { level: 'warn' },
  };
  writeFileSync(configPath, JSON.stringify(config));
  const nodeArgs =
    profileDirectory === undefined || profileName === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`];
  const address = ['--host', '127.0.0.1', '--port', '0', '--data-dir', dataDir];
  const child = spawn(
    process.execPath,
    [...nodeArgs, COMMAND, '--config', configPath, ...address],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const port = await readPort(child);
  const pid = child.pid ?? 0;
  return {
    pid,
    dataDir,
    wsUrl: `ws://127.0.0.1:${port}/sync/ws`,
    cpuMs: () => cpuMsOf(pid),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
      if (profileDirectory !== undefined && profileName !== undefined) {
        nameProfile(profileDirectory, pid, profileName);
      }
    },
  };
}

/** Each thread of a process leaves a profile, and hook modules are imported with the help of another one. */
function nameProfile(directory: string, pid: number, name: string): void {
  for (const file of readdirSync(directory)) {
    if (file.includes(`.${pid}.0.`)) renameSync(join(directory, file), join(directory, name));
    else if (file.includes(`.${pid}.`)) rmSync(join(directory, file));
  }
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
