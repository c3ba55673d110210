/**
 * Checks the files of a LevelDB before it is opened. LevelDB itself drops what it can't read of a
 * log, takes a directory without CURRENT for a new database, and deletes files that it then takes
 * for leftovers, so opening a damaged database could lose it for good.
 *
 * The check can't tell whether a crash or damage cut off the last write: a log may end anywhere.
 */

import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { Varints } from './encoding.ts';
import { damaged } from './errors.ts';
import { LogScan } from './log-file.ts';
import { type ReadRange, tableFault } from './table-file.ts';

/** @param tableBytesMax the most bytes of tables that are read, the newest tables first */
async function findFileFault(location: string, tableBytesMax: number): Promise<string | undefined> {
  const names = await readdir(location);
  if (!names.includes('CURRENT')) {
    // A crash while the database was being created leaves no more than the first manifest.
    const isOld = names.some(
      (name) =>
        /\.(?:ldb|sst|log)$/.test(name) ||
        (name.startsWith('MANIFEST-') && !/^MANIFEST-0*1$/.test(name)),
    );
    return isOld ? 'CURRENT is missing' : undefined;
  }
  const manifest = (await readFile(path.join(location, 'CURRENT'), 'utf8')).trimEnd();
  if (!/^MANIFEST-\d+$/.test(manifest)) return 'CURRENT cannot be read';
  if (!names.includes(manifest)) return `${manifest} is missing`;
  const edits: Buffer[] = [];
  const scan = new LogScan((edit) => edits.push(edit));
  scan.add(await readFile(path.join(location, manifest)));
  scan.end();
  if (scan.goesOn || edits.length === 0) return `${manifest} is damaged`;
  const { logNumber, sizeByTable } = readEdits(edits);
  const windows = new FileWindows();
  return (
    (await logFault(windows, location, names, logNumber)) ??
    (await tablesFault(windows, location, sizeByTable, tableBytesMax))
  );
}

async function logFault(
  windows: FileWindows,
  location: string,
  names: readonly string[],
  logNumber: number,
): Promise<string | undefined> {
  const logs = names.filter((name) => /^\d+\.log$/.test(name));
  const current = logs.filter((name) => Number.parseInt(name, 10) >= logNumber);
  if (logNumber > 0 && !current.some((name) => Number.parseInt(name, 10) === logNumber)) {
    return `${fileName(logNumber, 'log')} is missing`;
  }
  for (const name of current) {
    const { faultAt, goesOn } = await scanLog(windows, path.join(location, name));
    if (goesOn) return `${name} is damaged at ${faultAt}`;
  }
  return undefined;
}

async function tablesFault(
  windows: FileWindows,
  location: string,
  sizeByTable: ReadonlyMap<number, number>,
  bytesMax: number,
): Promise<string | undefined> {
  let bytes = 0;
  const toRead: [name: string, size: number][] = [];
  for (const [number, size] of [...sizeByTable].sort(([a], [b]) => b - a)) {
    const name = fileName(number, 'ldb');
    const { size: found } = await stat(path.join(location, name)).catch(() => ({
      size: undefined,
    }));
    if (found === undefined) return `${name} is missing`;
    if (found !== size) return `${name} has ${found} bytes, and had ${size}`;
    bytes += size;
    if (bytes <= bytesMax) toRead.push([name, size]);
  }
  for (const [name, size] of toRead) {
    const fault = await windows.within(path.join(location, name), (read) => tableFault(read, size));
    if (fault !== undefined) return `${name} is damaged ${fault}`;
  }
  return undefined;
}

/** A multiple of the block size of a log. */
const LOG_WINDOW_BYTES = 1024 * 1024;

async function scanLog(windows: FileWindows, file: string): Promise<LogScan> {
  const scan = new LogScan();
  await windows.within(file, async (read) => {
    for (let at = 0; ; at += LOG_WINDOW_BYTES) {
      const bytes = await read(at, LOG_WINDOW_BYTES);
      scan.add(bytes);
      if (bytes.length < LOG_WINDOW_BYTES) break;
    }
  });
  scan.end();
  return scan;
}

/**
 * Reads parts of files into two buffers that are used again. Buffers for whole files would stay in
 * memory until the next garbage collection.
 */
class FileWindows {
  /** Used in turns, so that one can be filled while the other is checked. */
  #lent = Buffer.alloc(0);
  #next = Buffer.alloc(0);

  async within<T>(file: string, work: (read: ReadRange) => Promise<T>): Promise<T> {
    const handle = await open(file, 'r');
    try {
      return await work(async (offset, length) => {
        const buffer = this.#next.length < length ? Buffer.allocUnsafeSlow(length) : this.#next;
        [this.#next, this.#lent] = [this.#lent, buffer];
        return buffer.subarray(0, await fill(handle, buffer.subarray(0, length), offset));
      });
    } finally {
      await handle.close();
    }
  }
}

/** @returns the number of bytes that were read */
async function fill(handle: FileHandle, buffer: Buffer, offset: number): Promise<number> {
  let filled = 0;
  for (;;) {
    const { bytesRead } = await handle.read(
      buffer,
      filled,
      buffer.length - filled,
      offset + filled,
    );
    filled += bytesRead;
    if (bytesRead === 0 || filled === buffer.length) return filled;
  }
}

function fileName(number: number, extension: string): string {
  return `${String(number).padStart(6, '0')}.${extension}`;
}

/**
 * The log and tables that the manifest lists. Each of its records is a change, in tagged fields.
 */
function readEdits(records: readonly Buffer[]) {
  let logNumber = 0;
  const sizeByTable = new Map<number, number>();
  for (const record of records) {
    const fields = new Varints(record);
    const skipText = () => fields.skip(fields.next());
    while (!fields.isAtEnd) {
      const tag = fields.next();
      if (tag === 1) skipText();
      else if (tag === 2) logNumber = fields.next();
      else if (tag === 3 || tag === 4 || tag === 9) fields.next();
      else if (tag === 5) {
        fields.next();
        skipText();
      } else if (tag === 6) {
        fields.next();
        sizeByTable.delete(fields.next());
      } else if (tag === 7) {
        fields.next();
        sizeByTable.set(fields.next(), fields.next());
        skipText();
        skipText();
      } else break;
    }
  }
  return { logNumber, sizeByTable };
}

/** @throws SyncError STORE_DAMAGED */
export async function refuseDamage(
  databaseId: string,
  location: string,
  tableBytesMax: number,
): Promise<void> {
  const fault = await findFileFault(location, tableBytesMax);
  if (fault !== undefined) throw damaged(databaseId, `${location}: ${fault}`);
}
