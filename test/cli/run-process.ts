import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { BUILT_COMMAND } from '../support/built-command.ts';

/** So that a command that does not end fails its test. */
const END_WITHIN_MS = 60_000;
/** What Node.js is started with, before the command's own arguments. */
export const COMMAND: readonly string[] = [BUILT_COMMAND];

export interface RunOptions {
  cwd: string;
  env?: Readonly<Record<string, string>>;
  /** The file of the command, where it is not the built one. */
  command?: string;
}

export interface RunningProcess {
  child: ChildProcess;
  /** What it has said so far. */
  output: { stdout: string; stderr: string };
  /** Resolves once stdout matches; rejects where the process ends before. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
  /** Its exit code, when it has ended. */
  ended: Promise<number | null>;
}

/** The real command in a process of its own, which does not outlive the test. */
export function startProcess(
  t: TestContext,
  args: readonly string[],
  { cwd, env, command }: RunOptions,
): RunningProcess {
  const child = spawn(
    process.execPath,
    [...(command === undefined ? COMMAND : [command]), ...args],
    {
      cwd,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: END_WITHIN_MS,
    },
  );
  t.after(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const ended = once(child, 'close').then(() => child.exitCode);

  async function waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(output.stdout);
      if (match !== null) {
        return match;
      }
      const event = await Promise.race([once(child.stdout, 'data'), ended.then(() => 'ended')]);
      if (event === 'ended' && pattern.exec(output.stdout) === null) {
        throw new Error(`ended without ${pattern}: ${output.stdout}${output.stderr}`);
      }
    }
  }
  return { child, output, waitFor, ended };
}

/** Runs a command to its end. */
export async function runProcess(t: TestContext, args: readonly string[], options: RunOptions) {
  const { ended, output } = startProcess(t, args, options);
  return { code: await ended, ...output };
}
