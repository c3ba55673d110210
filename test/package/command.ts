/**
 * A documented command line in a process of its own, run by the shell as it stands, and
 * seen from outside: where it listens, what it prints, how it ends.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

const PRELOAD = new URL('./report-listening.mjs', import.meta.url).href;
const START_MS_MAX = 60_000;
/** What the test run itself was started with, and what would configure the command. */
const FOREIGN_VARIABLE = /^(npm_|node_|sync_|debug|init_cwd|force_color)/i;

export interface CommandOptions {
  cwd: string;
  env?: Readonly<Record<string, string>>;
  /** The port that the command is going to ask for; another is taken where it is not free. */
  port?: number;
}

export interface Command {
  /** Of the server, not of what started it. */
  pid: number;
  asked: number;
  port: number;
  output: { stdout: string; stderr: string };
  /** Tells the server to end, and gives the exit code of the whole command. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

interface Owner {
  after(end: () => void): void;
}

/** The environment of somebody who has just opened a terminal, without a network. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const names = Object.keys(process.env).filter((name) => !FOREIGN_VARIABLE.test(name));
  return {
    ...Object.fromEntries(names.map((name) => [name, process.env[name]])),
    npm_config_offline: 'true',
    npm_config_update_notifier: 'false',
  };
}

/** Resolves once the command's server listens; the command does not outlive its owner. */
export async function startCommand(
  owner: Owner,
  line: string,
  { cwd, env, port }: CommandOptions,
): Promise<Command> {
  const isTaken = port !== undefined && !(await isFree(port));
  const child = spawn(line, {
    cwd,
    shell: true,
    // A group of its own, so that nothing of it is left if the test fails.
    detached: true,
    env: {
      ...plainEnvironment(),
      ...env,
      NODE_OPTIONS: `--import=${PRELOAD}`,
      ...(isTaken && { REPORT_LISTENING_ELSEWHERE: '1' }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  owner.after(() => killGroup(child.pid));
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  const ended = once(child, 'close').then(() => child.exitCode);
  const report = new Promise<string>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text;
      const [, json] = /^listening (\{.*\})$/m.exec(output.stderr) ?? [];
      if (json !== undefined) resolve(json);
    });
  });
  const timer = setTimeout(() => killGroup(child.pid), START_MS_MAX);
  const json = await Promise.race([report, ended.then(() => undefined)]);
  clearTimeout(timer);
  if (json === undefined) {
    throw new Error(`${line}\ndid not start: ${output.stdout}${output.stderr}`);
  }
  const { pid, ...ports }: { pid: number; asked: number; port: number } = JSON.parse(json);
  return {
    pid,
    ...ports,
    output,
    stop(signal = 'SIGTERM') {
      process.kill(pid, signal);
      return ended;
    },
  };
}

/** Runs a command to its end. @throws Error with its output, unless it ends with 0 */
export async function runCommand(
  line: string,
  cwd: string,
  env: NodeJS.ProcessEnv = plainEnvironment(),
): Promise<string> {
  const child = spawn(line, { cwd, shell: true, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  await once(child, 'close');
  if (child.exitCode !== 0) throw new Error(`${line}\nfailed: ${stdout}${stderr}`);
  return stdout;
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  try {
    probe.listen(port, '0.0.0.0');
    await once(probe, 'listening');
    probe.close();
    await once(probe, 'close');
    return true;
  } catch {
    return false;
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
