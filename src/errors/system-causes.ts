/**
 * What the operating system lacks, and what to do about it. Libraries wrap such faults in their own words, and
 * LevelDB and PostgreSQL keep nothing of them but the text.
 */

import { codeOf } from './sync-error.ts';

const CAUSES_MAX = 5;

const CAUSES = [
  {
    codes: ['ENOSPC', '53100'],
    text: /no space left on device/i,
    advice: 'the disk is full: make room',
  },
  {
    codes: ['EDQUOT'],
    text: /disk quota exceeded/i,
    advice: "the quota of this process's user is used up: make room, or raise it",
  },
  {
    codes: ['EMFILE'],
    text: /too many open files(?! in system)/i,
    advice:
      'this process may not open more files: raise its limit (ulimit -n, LimitNOFILE in systemd)',
  },
  {
    codes: ['ENFILE'],
    text: /too many open files in system/i,
    advice: 'this machine may not open more files: raise fs.file-max',
  },
  {
    codes: ['EROFS'],
    text: /read-only file system/i,
    advice: 'the file system is read-only: mount it for writing, or choose another place',
  },
  {
    codes: ['EIO'],
    text: /input\/output error/i,
    advice: "the disk fails: look at the kernel's log (dmesg)",
  },
  {
    codes: ['ENOMEM'],
    text: /cannot allocate memory/i,
    advice: 'this process gets no more memory: raise its limit',
  },
];

/** In a line; `undefined` where it is none of these. */
export function systemCause(error: unknown): string | undefined {
  let cause = error;
  for (let depth = 0; depth < CAUSES_MAX && cause instanceof Error; depth++) {
    const { message } = cause;
    const code = codeOf(cause) ?? '';
    const found = CAUSES.find(({ codes, text }) => codes.includes(code) || text.test(message));
    if (found !== undefined) return found.advice;
    cause = cause.cause;
  }
  return undefined;
}
