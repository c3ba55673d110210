/**
 * Standard output and error of the command. Their reader may go away (a closed terminal, a log
 * collector that died) or stop reading (Ctrl-S, a full pipe). What can't be written is lost: the work
 * of the process neither ends nor waits for it.
 */

import { closeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { PACKAGE_NAME } from '../modules/own-package.ts';

/** What waits for a reader that has stopped, in bytes; what comes on top of it is lost. */
const WAITING_BYTES_MAX = 1024 * 1024;

export const STANDARD_STREAMS = [0, 1, 2];

/** For all commands: without a listener the first line that can't be written would end the process. */
export function surviveLostOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

/** For the server, which must neither stand still nor grow while its output is not read. */
export function neverWaitForReaders(): void {
  leaveGoneTerminals();
  for (const stream of [process.stdout, process.stderr]) {
    stopBlocking(stream);
    bound(stream);
  }
}

/** At its end Node.js gives each terminal the settings back that it had, and aborts where it is gone. */
function leaveGoneTerminals(): void {
  const terminals = STANDARD_STREAMS.filter((fd) => isatty(fd));
  process.on('exit', () => {
    for (const fd of terminals) if (!isatty(fd)) closeSync(fd);
  });
}

/** Node.js writes to terminals, which may be held, with blocking calls; it has no public way to tell it otherwise. */
function stopBlocking(stream: NodeJS.WriteStream): void {
  const handle: unknown = Reflect.get(stream, '_handle');
  if (!stream.isTTY || typeof handle !== 'object' || handle === null) return;
  const setBlocking: unknown = Reflect.get(handle, 'setBlocking');
  if (typeof setBlocking === 'function') setBlocking.call(handle, false);
}

/** All output comes through here, also that of hook modules that call `console.log`. */
function bound(stream: NodeJS.WriteStream): void {
  const write = stream.write.bind(stream);
  let lost = 0;
  stream.on('drain', () => {
    if (lost === 0) return;
    const text = `${PACKAGE_NAME}: ${lost} lines of output were lost, as nobody read them\n`;
    lost = 0;
    write(text);
  });
  stream.write = new Proxy(write, {
    apply(_, __, args: readonly unknown[]) {
      if (stream.writableLength <= WAITING_BYTES_MAX) return Reflect.apply(write, stream, args);
      lost++;
      const done = args.find((arg) => typeof arg === 'function');
      if (done !== undefined) process.nextTick(done);
      return false;
    },
  });
}
