/** What stopped a command, in a line for its operator; the stack only with `DEBUG`. */

import { inspect } from 'node:util';
import { type Static, Type } from 'typebox';
import { Check } from 'typebox/value';
import { debugOf } from '../config/resolve-config.ts';
import { ConfigError } from '../errors/config-error.ts';
import { systemCause } from '../errors/system-causes.ts';
import { PACKAGE_NAME } from '../modules/own-package.ts';

/** What Node says about a system call that failed. */
const SystemErrorSchema = Type.Object({
  code: Type.String(),
  syscall: Type.String(),
  message: Type.String(),
  address: Type.Optional(Type.String()),
  hostname: Type.Optional(Type.String()),
  port: Type.Optional(Type.Number()),
  path: Type.Optional(Type.String()),
});

export function failureToText(error: unknown): string {
  const lines = failureToLines(error).map((line) => `${PACKAGE_NAME}: ${line}`);
  return [...lines, ...(debugOf() ? [inspect(error)] : [])].join('\n');
}

function failureToLines(error: unknown): string[] {
  if (error instanceof ConfigError) {
    return error.message.split('\n');
  }
  const text = Check(SystemErrorSchema, error)
    ? systemErrorToText(error)
    : error instanceof Error
      ? firstLine(error.message)
      : String(error);
  const cause = systemCause(error);
  return [cause === undefined || text.includes(cause) ? text : `${text}: ${cause}`];
}

function systemErrorToText(error: Static<typeof SystemErrorSchema>): string {
  const { code, syscall, address, hostname, port, path, message } = error;
  const place = `port ${port} of ${address ?? hostname}`;
  const texts: Readonly<Record<string, string>> = {
    'listen EADDRINUSE': `${place} is taken: another process listens there; choose another with --port`,
    'listen EACCES': `${place} is not allowed to this user; choose one above 1023 with --port`,
    'listen EADDRNOTAVAIL': `${address} is no address of this machine; choose another with --host`,
    'getaddrinfo ENOTFOUND': `the host ${hostname} is not known; choose another with --host`,
  };
  return (
    texts[`${syscall} ${code}`] ??
    (path === undefined ? firstLine(message) : `${path} can't be used: ${firstLine(message)}`)
  );
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
