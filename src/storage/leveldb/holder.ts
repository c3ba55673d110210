/**
 * Who has a data directory, as its file says: for people, and for a second process that finds no lock. On
 * Linux it identifies the process exactly, so that a later one with the same pid is not taken for it.
 */

import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { type Static, Type } from 'typebox';
import { Check } from 'typebox/value';

const HolderSchema = Type.Object({
  pid: Type.Integer(),
  hostname: Type.String(),
  startedAt: Type.String(),
  /** Of its process: the boot, the pid namespace, the pid, and when it began, in clock ticks since the boot. */
  process: Type.Optional(Type.String()),
  /** Device and inode of its directory, which a copy of it does not share. */
  directory: Type.Optional(Type.String()),
});

export type Holder = Static<typeof HolderSchema>;

/** @param directory that it has */
export function currentHolder(directory: string): Holder {
  return {
    pid: process.pid,
    hostname: hostname(),
    startedAt: new Date().toISOString(),
    process: describeProcess(process.pid),
    directory: identify(directory),
  };
}

/** `undefined` where nothing, or something else, is in the file. */
export function readHolder(file: string): Holder | undefined {
  try {
    const holder: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Check(HolderSchema, holder) ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** Whether it is known to live, with the directory that is here. */
export function isHolding({ pid, process, directory }: Holder, location: string): boolean {
  if (process === undefined || directory !== identify(location)) return false;
  return process === describeProcess(pid);
}

function identify(directory: string): string {
  const { dev, ino } = statSync(directory, { bigint: true });
  return `${dev}:${ino}`;
}

/** `undefined` for one that is not there, and on systems that don't tell. */
function describeProcess(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const namespace = readlinkSync('/proc/self/ns/pid');
    // The name of the program comes before, in brackets, and may hold any.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, '').split(' ');
    const [state, began] = [fields[1], fields[20]];
    // What has ended, but was not waited for, has nothing any more.
    return state === 'Z' ? undefined : `${boot} ${namespace} ${pid} ${began}`;
  } catch {
    return undefined;
  }
}
