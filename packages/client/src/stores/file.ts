/**
 * A store in one file, for Node: a log of batches, each a line.
 *
 *     sync-coordinator replica 1
 *     <CRC-32, 8 hex digits> <length of the JSON in bytes> <JSON of the operations>
 *
 * A batch is appended and fsynced before it counts. JSON has no line break, so what a killed process
 * leaves is at most one last line that is not whole: it is cut off. A bad line before the last one is
 * damage, and then nothing is touched. When most of the file is out of date it is written anew beside
 * itself and takes its own place. What somebody else does to it meanwhile is noticed before a batch
 * counts, and then nothing is written.
 */

import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { lockPath, type PathLock } from './file-lock.ts';
import {
  append,
  codeOf,
  mustBeAsLeft,
  type OpenFile,
  readOrNothing,
  realFile,
  syncDirectory,
} from './open-file.ts';
import {
  type ClientStore,
  type Condition,
  type StoredValue,
  StoreError,
  type StoreOperation,
} from './store.ts';

const HEADER = 'sync-coordinator replica 1\n';
const HEADER_FORM = /^sync-coordinator replica \d+\n/;
const LINE_FORM = /^([0-9a-f]{8}) (\d+) /;
const LINE_BREAK = 10;
/** So many entries go into one line of a file that is written anew. */
const ENTRIES_PER_LINE = 1_000;

export interface FileStoreOptions {
  /** Bytes out of date below which the file is never written anew. Default: 1 MiB. */
  garbageBytesMin?: number;
}

interface Entry {
  value: StoredValue;
  /** What it takes up in the file, about. */
  bytes: number;
}

export class FileStore implements ClientStore {
  #path: string;
  readonly #garbageBytesMin: number;
  readonly #entries = new Map<string, Entry>();
  #liveBytes = 0;
  /** The file is not written anew before it is so long. */
  #rewriteAtBytes = 0;
  #lock: PathLock | undefined;
  #file: OpenFile | undefined;
  #isClosed = false;

  constructor(path: string, { garbageBytesMin = 2 ** 20 }: FileStoreOptions = {}) {
    this.#path = resolve(path);
    this.#garbageBytesMin = garbageBytesMin;
  }

  async load(): Promise<Iterable<[key: string, value: StoredValue]>> {
    await this.#guard(() => this.#open());
    return [...this.#entries].map(([key, { value }]) => [key, value]);
  }

  commit(operations: readonly StoreOperation[], condition?: Condition): Promise<void> {
    return this.#guard(async () => {
      const file = await this.#open();
      if (condition !== undefined && this.#entries.get(condition.key)?.value !== condition.value) {
        throw new StoreError('STORE_TAKEN', `${condition.key} has another value`);
      }
      const line = encodeLine(operations);
      await mustBeAsLeft(file, this.#path);
      await append(file, line);
      await mustBeAsLeft(file, this.#path);
      this.#take(operations, line.length);
      if (file.bytes > this.#rewriteAtBytes) await this.#shrink(file);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#release();
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      if (this.#isClosed) throw new StoreError('STORE_UNAVAILABLE', 'the store is closed');
      return await work();
    } catch (cause) {
      throw toStoreError(cause, this.#path);
    }
  }

  async #release(): Promise<void> {
    const { handle } = this.#file ?? {};
    this.#file = undefined;
    await handle?.close();
    const lock = this.#lock;
    this.#lock = undefined;
    if (lock !== undefined) await new Promise<void>((done) => lock.close(done));
  }

  async #open(): Promise<OpenFile> {
    if (this.#file !== undefined) return this.#file;
    this.#entries.clear();
    this.#liveBytes = 0;
    try {
      await mkdir(dirname(this.#path), { recursive: true });
      // Where a link leads, so that who has another one finds it locked.
      this.#path = await realFile(this.#path);
      this.#lock = await lockPath(this.#path);
      this.#file = await this.#read();
      return this.#file;
    } catch (cause) {
      await this.#release();
      throw cause;
    }
  }

  async #read(): Promise<OpenFile> {
    await rm(newPath(this.#path), { force: true });
    const found = await readOrNothing(this.#path);
    const content = found && Buffer.from(found.buffer, found.byteOffset, found.length);
    const bytes = this.#readLines(content);
    const handle = await open(this.#path, content === undefined ? 'wx' : 'r+');
    const file = { handle, bytes, isTorn: bytes < (content?.length ?? 0) };
    try {
      if ((await handle.stat()).nlink > 1) {
        throw new StoreError('STORE_UNAVAILABLE', 'it has another name (a hard link)');
      }
      if (bytes === 0) await append(file, Buffer.from(HEADER));
      await syncDirectory(this.#path);
    } catch (cause) {
      await handle.close();
      throw cause;
    }
    return file;
  }

  /** @returns the end of what counts; 0 for a file that is to begin anew */
  #readLines(content: Buffer = Buffer.alloc(0)): number {
    const start = content.subarray(0, HEADER.length).toString('latin1');
    if (start !== HEADER) {
      // Killed before the first line was whole.
      if (HEADER.startsWith(start)) return 0;
      throw HEADER_FORM.test(content.subarray(0, 64).toString('latin1'))
        ? new StoreError('STORE_VERSION', 'it was written by another version of this client')
        : new StoreError('STORE_DAMAGED', 'it does not begin as a replica does');
    }
    let at = HEADER.length;
    while (at < content.length) {
      const end = content.indexOf(LINE_BREAK, at);
      const operations = end === -1 ? undefined : decodeLine(content.subarray(at, end));
      if (operations === undefined) {
        // Only the last batch can be torn: those before it were whole when it was begun.
        if (end === -1 || end === content.length - 1) return at;
        throw new StoreError(
          'STORE_DAMAGED',
          `what is stored at byte ${at} is not what was written`,
        );
      }
      this.#take(operations, end - at);
      at = end + 1;
    }
    return at;
  }

  #take(operations: readonly StoreOperation[], lineBytes: number): void {
    const bytes = lineBytes / operations.length;
    for (const operation of operations) {
      if (operation.type === 'clear') {
        for (const key of this.#entries.keys()) {
          if (key.startsWith(operation.prefix)) this.#forget(key);
        }
        continue;
      }
      this.#forget(operation.key);
      if (operation.type === 'delete') continue;
      const { key, value } = operation;
      this.#entries.set(key, { value, bytes });
      this.#liveBytes += bytes;
    }
    this.#rewriteAtBytes = 2 * this.#liveBytes + this.#garbageBytesMin;
  }

  #forget(key: string): void {
    this.#liveBytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }

  /** Writes the file anew. What it holds is safe already, so it may fail. */
  async #shrink(file: OpenFile): Promise<void> {
    const path = newPath(this.#path);
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'w');
      const next: OpenFile = { handle, bytes: 0, isTorn: false };
      await append(next, this.#encodeAll());
      await rename(path, this.#path);
      this.#file = next;
    } catch {
      await handle?.close();
      await rm(path, { force: true });
      this.#rewriteAtBytes = 2 * file.bytes;
      return;
    }
    await file.handle.close();
    try {
      await syncDirectory(this.#path);
    } catch (cause) {
      // Which of the two files a loss of power would leave is not known: opening it again tries again.
      await this.#release();
      throw cause;
    }
  }

  #encodeAll(): Uint8Array {
    const lines: Uint8Array[] = [Buffer.from(HEADER)];
    let operations: StoreOperation[] = [];
    for (const [key, { value }] of this.#entries) {
      operations.push({ type: 'put', key, value });
      if (operations.length < ENTRIES_PER_LINE) continue;
      lines.push(encodeLine(operations));
      operations = [];
    }
    lines.push(encodeLine(operations));
    return Buffer.concat(lines);
  }
}

function encodeLine(operations: readonly StoreOperation[]): Buffer {
  const json = JSON.stringify(operations);
  const check = crc32(json).toString(16).padStart(8, '0');
  return Buffer.from(`${check} ${Buffer.byteLength(json)} ${json}\n`);
}

/** @returns `undefined` for a line that is not as it was written */
function decodeLine(line: Buffer): StoreOperation[] | undefined {
  const found = LINE_FORM.exec(line.subarray(0, 32).toString('latin1'));
  const [start = '', check = '', length] = found ?? [];
  const json = line.subarray(start.length);
  const isWhole = json.length === Number(length) && crc32(json) === Number.parseInt(check, 16);
  return isWhole ? JSON.parse(json.toString()) : undefined;
}

function newPath(path: string): string {
  return `${path}.new`;
}

const FULL: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

function toStoreError(cause: unknown, path: string): StoreError {
  const code = codeOf(cause);
  if (cause instanceof StoreError) {
    return new StoreError(cause.code, `${path}: ${cause.message}`, { cause });
  }
  if (code === 'EADDRINUSE') {
    return new StoreError('STORE_UNAVAILABLE', `${path} is open already`, { cause });
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  const kind = FULL.includes(code) ? 'STORE_FULL' : 'STORE_UNAVAILABLE';
  return new StoreError(kind, `${path}: ${message}`, { cause });
}

/**
 * Keeps a replica in a file. One process at a time can open it.
 * @param path of the file, which need not be there; its directory is made
 */
export function fileStore(path: string, options?: FileStoreOptions): ClientStore {
  return new FileStore(path, options);
}
