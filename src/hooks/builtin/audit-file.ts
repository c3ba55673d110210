/**
 * A file of lines that is rotated. All modules of the process with the same path share it, since
 * during a reload two of them write to it. A line is written whole, or `append` rejects; after a
 * failure the next line opens the file again.
 */

import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
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
  readonly #options: RotationOptions;
  #stream: RotatingFileStream | undefined;
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
    const stream = this.#stream;
    if (stream === undefined) return;
    const closed = once(stream, 'close').catch(() => undefined);
    stream.end();
    await closed;
  }
}
