/**
 * The file of an export: gzip, or NDJSON as it is. It is written beside its name and gets it only when
 * all of it is on the disk, so that what bears the name is whole.
 */

import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { codeOf } from '../errors/sync-error.ts';
import { FILE_MODE } from '../storage/leveldb/modes.ts';
import { damaged } from '../transfer/export/format.ts';

/** Stands for stdin or stdout. */
export const STREAM = '-';

const GZIP_MAGIC = Buffer.of(0x1f, 0x8b);

/** @throws Error of a name that is taken, unless it is to be overwritten */
export async function refuseTaken(file: string, force: boolean): Promise<void> {
  const found = await stat(file).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isFile()) throw new Error(`${file} is not a file: choose another --output`);
  if (!force) throw new Error(`${file} is there already: choose another --output, or give --force`);
}

/** Gzips `chunks` to a file, which bears its name only when it is whole and durable. */
export async function writeGzip(file: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  try {
    const output = createWriteStream(partial, { flags: 'wx', flush: true, mode: FILE_MODE });
    await pipeline(Readable.from(chunks, { highWaterMark: 1 }), createGzip(), output);
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  await syncDirectory(path.dirname(file));
}

/** The name must be as durable as what it names. */
async function syncDirectory(directory: string): Promise<void> {
  // Windows can't open a directory, and needs no such thing.
  if (process.platform === 'win32') return;
  const handle = await open(directory);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function gzipToStdout(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  await pipeline(Readable.from(chunks, { highWaterMark: 1 }), createGzip(), process.stdout);
}

/**
 * What is in a file, unpacked if it is gzip.
 * @param onRead is told how many bytes of the file have been read further
 * @throws ExportFileError of one that can't be unpacked
 */
export async function* readUnpacked(
  file: string,
  onRead: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  const isPacked = await isGzip(file);
  const input = createReadStream(file);
  input.on('data', (chunk) => onRead(chunk.length));
  if (!isPacked) {
    yield* input;
    return;
  }
  const gunzip = createGunzip();
  // Ends both whenever one of them does. The reader gets a failure from `gunzip`.
  const piping = pipeline(input, gunzip).catch(() => undefined);
  try {
    yield* gunzip;
  } catch (error) {
    if (!codeOf(error)?.startsWith('Z_')) throw error;
    const what = codeOf(error) === 'Z_BUF_ERROR' ? 'it has been cut short' : 'it is damaged';
    throw damaged(`it cannot be unpacked: ${what}`, error);
  } finally {
    gunzip.destroy();
    await piping;
  }
}

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer.equals(GZIP_MAGIC);
  } finally {
    await handle.close();
  }
}

/** Runs `work` on a copy of stdin, since a file is read more than once. */
export async function withStdinAsFile<T>(work: (file: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(path.join(tmpdir(), 'sync-coordinator-import-'));
  try {
    const file = path.join(directory, 'stdin');
    await pipeline(process.stdin, createWriteStream(file, { mode: FILE_MODE }));
    return await work(file);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
