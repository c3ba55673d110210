/**
 * How hook modules read databases. Each read opens the database, and keeps it open until it ends.
 */

import { decodeHlc, encodeHlc, type Hlc } from '../../clock/hlc.ts';
import { joined, letGoOfEach } from '../../engine/records/let-go.ts';
import { bytesToText } from '../../engine/records/row.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import type { WireRow } from '../../engine/tables/stored-rows.ts';
import type { CoordinatorReader, StoredRow } from '../../hooks/reader.ts';
import { MAIN_SCHEMA } from '../../hooks/same-name.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import { type ChangeSet, decodeChangeSet } from '../../protocol/types.ts';
import { decodeValue, encodeValue, type SqlValue } from '../../protocol/values.ts';
import type { Reservation } from '../budgets/byte-budget.ts';
import { Fifo } from '../budgets/fifo.ts';
import type { HookRows } from '../budgets/hook-rows.ts';
import { bytesFor, type PageReads } from '../budgets/page-reads.ts';
import type { DatabaseLease } from './database-lease.ts';

type Acquire = (databaseId: string) => Promise<Pick<DatabaseLease, 'manager' | 'release'>>;

const PAGE_BYTES = 256 * 1024;
/** A page takes more memory once it is parsed. */
const PAGE_MEMORY_BYTES = bytesFor(PAGE_BYTES, 'parsed');

/** The memory for pages of logs, and for rows, of one holder. */
export interface ReaderMemory {
  reads: PageReads;
  rows: HookRows;
  reserve(bytes: number): Promise<Reservation>;
}

/** All but `ready`, which tells when the databases can be opened. */
type DatabaseReader = Omit<CoordinatorReader, 'ready'>;

/** @param memoryOf the memory for reading a database */
export function createDatabaseReader(
  acquire: Acquire,
  pinLog: CoordinatorReader['pinLog'],
  memoryOf: (databaseId: string) => ReaderMemory,
): DatabaseReader {
  async function withManager<T>(
    databaseId: string,
    read: (manager: SyncManager) => T | Promise<T>,
  ): Promise<T> {
    const lease = await acquire(databaseId);
    try {
      return await read(lease.manager);
    } finally {
      lease.release();
    }
  }

  async function* pagesOf(
    databaseId: string,
    since: Hlc | undefined,
  ): AsyncGenerator<Iterable<ChangeSet>> {
    const lease = await acquire(databaseId);
    const { reads, reserve } = memoryOf(databaseId);
    let room: Reservation | undefined;
    try {
      const { manager } = lease;
      let after = await manager.log.cursorFor(since && encodeHlc(since));
      room = await reserve(PAGE_MEMORY_BYTES);
      for (;;) {
        const jsons = new Fifo<Uint8Array>();
        const options = { after, bytesMax: PAGE_BYTES, use: 'parsed' } as const;
        const page = await reads.read(manager, options, { reads, room }, (json) =>
          jsons.push(json),
        );
        yield decoded(jsons);
        if (!page.hasMore) return;
        after = page.end;
        // A long transaction may have made the reservation larger.
        room.adjust(PAGE_MEMORY_BYTES);
      }
    } finally {
      room?.give();
      lease.release();
    }
  }

  return {
    row: (databaseId, { schema = MAIN_SCHEMA, table, pk }) =>
      withManager(databaseId, async (manager) => {
        const address = { schema, table, pk: pk.map(encodeValue) };
        return memoryOf(databaseId).rows.one(async (bytesMax) => {
          const row = await manager.tables.row(address, bytesMax);
          return row && toStoredRow(row);
        });
      }),

    rows: (databaseId, { schema = MAIN_SCHEMA, table }) => {
      const whileOpen = async function* () {
        const lease = await acquire(databaseId);
        try {
          const { tables } = lease.manager;
          const { rows } = memoryOf(databaseId);
          yield rows.all(async (memory) => tables.rows({ schema, table }, memory));
        } finally {
          lease.release();
        }
      };
      return letGoOfEach(joined(whileOpen()), storedRowOf);
    },

    sameTable: (databaseId, a, b) =>
      withManager(databaseId, (manager) =>
        manager.tables.areOne({ schema: MAIN_SCHEMA, ...a }, { schema: MAIN_SCHEMA, ...b }),
      ),

    pinLog,

    position: (databaseId) => withManager(databaseId, ({ position }) => decodeHlc(position)),

    changes: (databaseId, since) => joined(pagesOf(databaseId, since)),
  };
}

/** A generator of its own, so that nothing is kept of it while the next page waits for memory. */
function* decoded(jsons: Fifo<Uint8Array>): Generator<ChangeSet> {
  for (let json = jsons.shift(); json !== undefined; json = jsons.shift()) {
    const changeSet: WireChangeSet = JSON.parse(bytesToText(json));
    yield decodeChangeSet(changeSet);
  }
}

export function toStoredRow({ pk, valuesByColumn }: WireRow): StoredRow {
  const values: Record<string, SqlValue> = Object.create(null);
  for (const [column, value] of valuesByColumn) values[column] = decodeValue(value);
  return { pk: pk.map(decodeValue), values };
}

/** For `letGoOfEach`. */
export function* storedRowOf(row: WireRow): Generator<StoredRow> {
  yield toStoredRow(row);
}

/** Given to the hook modules, which are loaded before the server is set up; `bind` connects it. */
export class LateReader implements CoordinatorReader {
  readonly ready: Promise<void>;
  #reader: DatabaseReader | undefined;
  #setReady = () => {};

  constructor() {
    this.ready = new Promise((resolve) => {
      this.#setReady = resolve;
    });
  }

  bind(reader: DatabaseReader): void {
    this.#reader = reader;
    this.#setReady();
  }

  get #bound(): DatabaseReader {
    if (this.#reader !== undefined) return this.#reader;
    throw new Error('the databases cannot be read before the server is set up');
  }

  row: CoordinatorReader['row'] = async (...args) => this.#bound.row(...args);
  position: CoordinatorReader['position'] = async (...args) => this.#bound.position(...args);
  rows: CoordinatorReader['rows'] = (...args) => this.#bound.rows(...args);
  changes: CoordinatorReader['changes'] = (...args) => this.#bound.changes(...args);
  sameTable: CoordinatorReader['sameTable'] = async (...args) => this.#bound.sameTable(...args);
  pinLog: CoordinatorReader['pinLog'] = async (...args) => this.#bound.pinLog(...args);
}
