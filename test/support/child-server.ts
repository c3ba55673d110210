/** The real command in a process of its own, to be killed, measured and read. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { BUILT_COMMAND } from './built-command.ts';

export interface ChildServer {
  process: ChildProcess;
  port: number;
  wsUrl: string;
  httpUrl: string;
  /** What it has printed so far. */
  output(): string;
  /** Resident memory in bytes (Linux). */
  residentBytes(): number;
  kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export interface ChildServerOptions {
  dataDir: string;
  args?: string[];
  nodeArgs?: string[];
  /** Shell commands that the process starts with, such as `ulimit -f 4096;`. */
  before?: string;
  /** A command that runs it, with its arguments. */
  wrapper?: string;
  env?: NodeJS.ProcessEnv;
}

export async function startChildServer(
  t: { after(fn: () => unknown): void },
  { dataDir, args = [], nodeArgs = [], before = '', wrapper = '', env = {} }: ChildServerOptions,
): Promise<ChildServer> {
  const child = spawn(
    '/bin/sh',
    [
      ...['-c', `${before} exec ${wrapper} "$0" "$@"`, process.execPath],
      ...[...nodeArgs, BUILT_COMMAND],
      ...['--host', '127.0.0.1', '--port', '0', '--data-dir', dataDir, ...args],
    ],
    {
      cwd: dataDir,
      env: { ...process.env, NODE_OPTIONS: '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  const port = await new Promise<number>((resolve, reject) => {
    const read = (data: Buffer) => {
      output += data;
      const [, found] = /ws +ws:\/\/[^:]+:(\d+)/.exec(output) ?? [];
      if (found !== undefined) resolve(Number(found));
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${output}`)));
  });
  return {
    process: child,
    port,
    wsUrl: `ws://127.0.0.1:${port}/sync/ws`,
    httpUrl: `http://127.0.0.1:${port}/sync`,
    output: () => output,
    residentBytes: () => {
      const [, kib = '0'] =
        /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
      return Number(kib) * 1024;
    },
    async kill(signal) {
      const gone = once(child, 'exit');
      child.kill(signal);
      const [code, by] = await gone;
      return { code, signal: by };
    },
  };
}

/** A metric without labels, as the server tells it. */
export async function metricOf({ httpUrl }: ChildServer, name: string): Promise<number> {
  const text = await (await fetch(`${httpUrl}/metrics`)).text();
  const [, value] = new RegExp(`^${name} (\\S+)$`, 'm').exec(text) ?? [];
  if (value === undefined) throw new Error(`there is no metric ${name}`);
  return Number(value);
}
