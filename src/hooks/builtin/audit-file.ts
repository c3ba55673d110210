/**
 * A file of lines that is rotated. All modules of the process with the same path share it, since
 * during a reload two of them write to it. A line is written whole, or `append` rejects; after a
 * failure the next line opens the file again, and so does a module that joins after the file
 * was moved away (logrotate).
 */

import { once } from 'node:events';
import { mkdirSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';

export interface RotationOptions {
  /** The size at which the file is rotated, in bytes. */
  maxBytes: number;
  /** The time after which it is rotated: `1d`, `12h`, … */
  interval?: string | undefined;
  /** The number of rotated files that are kept. */
  maxFiles: number;
  compress: boolean;
}

/** Only the owner may read what people have done. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

const filesByPath = new Map<string, AuditFile>();

export class AuditFile {
  readonly #path: string;
  #options: RotationOptions;
  #stream: RotatingFileStream | undefined;
  /** Which file the stream has opened. */
  #opened: string | undefined;
  /** Streams that are written no more, until they have closed. */
  readonly #closing = new Set<Promise<unknown>>();
  #users = 0;

  private constructor(path: string, options: RotationOptions) {
    this.#path = path;
    this.#options = options;
  }

  /** Opens it, or joins those who have; to be closed by each. Throws what opening throws. */
  static async open(path: string, options: RotationOptions): Promise<AuditFile> {
    const absolute = resolve(path);
    const file = filesByPath.get(absolute) ?? new AuditFile(absolute, options);
    filesByPath.set(absolute, file);
    file.#users++;
    try {
      if (identify(absolute) !== file.#opened || !isDeepStrictEqual(options, file.#options)) {
        file.#leave();
        file.#options = options;
      }
      if (file.#stream === undefined) await once(file.#start(), 'open');
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  #start(): RotatingFileStream {
    const { maxBytes, interval, maxFiles, compress } = this.#options;
    mkdirSync(dirname(this.#path), { recursive: true, mode: DIRECTORY_MODE });
    const stream = createStream(basename(this.#path), {
      path: dirname(this.#path),
      size: `${maxBytes}B`,
      ...(interval === undefined ? {} : { interval }),
      maxFiles,
      compress: compress && 'gzip',
      mode: FILE_MODE,
    });
    this.#stream = stream;
    stream.on('open', () => {
      if (this.#stream === stream) this.#opened = identify(this.#path);
    });
    // The write rejects as well; the next one opens the file again.
    stream.on('error', () => this.#forget(stream));
    stream.on('close', () => this.#forget(stream));
    return stream;
  }

  #forget(stream: RotatingFileStream): void {
    if (this.#stream === stream) this.#stream = undefined;
  }

  /** Resolves when the operating system has it. */
  append(lines: string): Promise<void> {
    const stream = this.#stream ?? this.#start();
    return new Promise((resolve, reject) => {
      stream.write(lines, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** The last one out writes what is left and closes the file. */
  async close(): Promise<void> {
    if (--this.#users > 0) return;
    if (filesByPath.get(this.#path) === this) filesByPath.delete(this.#path);
    this.#leave();
    await Promise.all(this.#closing);
  }

  /** What it was given is written still. */
  #leave(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    const closed = once(stream, 'close')
      .catch(() => undefined)
      .finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
    stream.end();
  }
}

/** `undefined` where there is none. */
function identify(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats && `${stats.dev}:${stats.ino}`;
}
