/**
 * Whether the files of a LevelDB are whole, looked at before it is opened. LevelDB itself drops
 * what it can't read of a log, takes a directory without CURRENT for a new database, and deletes
 * what it then holds for left over: what was damaged would be lost for good.
 *
 * It cannot tell a last write that a crash tore from one that was damaged: a log may end anywhere.
 */

import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { damaged } from './leveldb-errors.ts';
import { readLogFile, tableFault, Varints } from './leveldb-records.ts';

/** @param tableBytesMax of tables, which may be many, so many bytes are read, the newest first */
async function findFileFault(location: string, tableBytesMax: number): Promise<string | undefined> {
  const names = await readdir(location);
  if (!names.includes('CURRENT')) {
    // A crash while the database was being made leaves the first manifest at most.
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
  const edits = readLogFile(await readFile(path.join(location, manifest)));
  if (edits.goesOn || edits.records.length === 0) return `${manifest} is damaged`;
  const { logNumber, sizeByTable } = readEdits(edits.records);
  return (
    (await logFault(location, names, logNumber)) ??
    (await tablesFault(location, sizeByTable, tableBytesMax))
  );
}

async function logFault(
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
    const { faultAt, goesOn } = readLogFile(await readFile(path.join(location, name)));
    if (goesOn) return `${name} is damaged at ${faultAt}`;
  }
  return undefined;
}

async function tablesFault(
  location: string,
  sizeByTable: ReadonlyMap<number, number>,
  bytesMax: number,
): Promise<string | undefined> {
  let bytes = 0;
  const toRead: string[] = [];
  for (const [number, size] of [...sizeByTable].sort(([a], [b]) => b - a)) {
    const name = fileName(number, 'ldb');
    const { size: found } = await stat(path.join(location, name)).catch(() => ({
      size: undefined,
    }));
    if (found === undefined) return `${name} is missing`;
    if (found !== size) return `${name} has ${found} bytes, and had ${size}`;
    bytes += size;
    if (bytes <= bytesMax) toRead.push(name);
  }
  // One is read while the one before it is looked at.
  let reading = readTable(location, toRead[0]);
  for (const [i, name] of toRead.entries()) {
    const table = await reading;
    reading = readTable(location, toRead[i + 1]);
    const fault = table && tableFault(table);
    if (fault !== undefined) return `${name} is damaged ${fault}`;
  }
  return undefined;
}

function readTable(location: string, name: string | undefined): Promise<Buffer | undefined> {
  const reading =
    name === undefined ? Promise.resolve(undefined) : readFile(path.join(location, name));
  // It may be that nobody waits for it any more.
  reading.catch(() => undefined);
  return reading;
}

function fileName(number: number, extension: string): string {
  return `${String(number).padStart(6, '0')}.${extension}`;
}

/** What the manifest says is there: each record is a change of it, in tagged fields. */
function readEdits(records: readonly Buffer[]) {
  let logNumber = 0;
  const sizeByTable = new Map<number, number>();
  for (const record of records) {
    const fields = new Varints(record);
    const skipText = () => fields.take(fields.next());
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
