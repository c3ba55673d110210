/**
 * Signals from the first moment of the process until the command has its own listeners. The first process of a
 * container is not ended by a signal that it does not listen for, so one that comes while modules are
 * imported or stores are opened would be lost; and SIGHUP would end any other.
 */

import { constants } from 'node:os';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const;
/** By which shells and engines tell that a signal ended a process. */
const BY_SIGNAL = 128;

/** What programs that move logs send to others. Node.js would open its debugger to all users of the machine. */
const DEBUG_SIGNAL = 'SIGUSR1';

let hasHungUp = false;

function hangUp(): void {
  hasHungUp = true;
}

/** As if nobody listened; also where the kernel would not end the process for it. */
function end(signal: NodeJS.Signals): void {
  leaveSignals();
  process.kill(process.pid, signal);
  process.exit(BY_SIGNAL + constants.signals[signal]);
}

function explainReload(): void {
  const instead = 'SIGHUP loads tokens and hooks anew, and reopens their files';
  process.stderr.write(`sync-coordinator: ${DEBUG_SIGNAL} does nothing here: ${instead}\n`);
}

/** `SIGUSR1` is watched for as long as the process lives. */
export function watchSignals(): void {
  process.on(DEBUG_SIGNAL, explainReload);
  process.on('SIGHUP', hangUp);
  for (const signal of STOP_SIGNALS) process.on(signal, end);
}

/** From now on they are as they would be, or are for who listens. @returns whether SIGHUP has come */
export function leaveSignals(): boolean {
  process.off('SIGHUP', hangUp);
  for (const signal of STOP_SIGNALS) process.off(signal, end);
  return hasHungUp;
}
