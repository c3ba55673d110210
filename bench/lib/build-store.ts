/** Stores that figures read: written through the server, then left as a stop leaves them. */

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { ApplyLoad } from '../load/apply.ts';
import { COLUMNS_PER_ROW } from './messages.ts';
import type { Program } from './program.ts';
import type { RunContext } from './run-context.ts';

export interface DatabasePlan {
  databaseId: string;
  changes: number;
  changesPerTransaction: number;
}

const CHANGES_PER_MESSAGE = 10_000;
const CHANGES_PER_ROUND = 200_000;
/** Before all that is written later. */
export const BUILT_AGO_MS = 3 * 3_600_000;

/** @returns the data directory; nothing has it open */
export async function buildStore(
  context: RunContext,
  plans: readonly DatabasePlan[],
): Promise<string> {
  const server = await context.server();
  const load = await context.program<ApplyLoad>('load/apply.ts');
  for (const { databaseId, ...content } of plans) {
    const target = { url: server.wsUrl, databaseIds: [databaseId], connections: 1 };
    await load.call('connect', { ...target, agoMs: BUILT_AGO_MS });
    await insert(load, content);
  }
  await load.stop();
  await server.stop();
  return server.dataDir;
}

/** Inserts so many changes through the load's one connection. */
export async function insert(
  load: Program<ApplyLoad>,
  { changes, changesPerTransaction }: Omit<DatabasePlan, 'databaseId'>,
): Promise<void> {
  const shape = { changes: changesPerTransaction };
  let transactions = Math.floor(changes / changesPerTransaction);
  while (transactions > 0) {
    const perMessage = Math.min(
      transactions,
      Math.floor(CHANGES_PER_MESSAGE / changesPerTransaction),
    );
    const messages = Math.min(
      Math.floor(transactions / perMessage),
      CHANGES_PER_ROUND / CHANGES_PER_MESSAGE,
    );
    await load.call('prepare', { shape, messages, transactionsPerMessage: perMessage });
    await load.call('run', { inFlight: 4 });
    transactions -= messages * perMessage;
  }
}

/** For a program that reads the same records beside the server. */
export function copyDatabase(context: RunContext, dataDir: string, databaseId: string): string {
  const directory = context.newDirectory();
  cpSync(join(dataDir, `db-${databaseId}`), directory, { recursive: true });
  return directory;
}

export interface BigStore {
  dataDir: string;
  /** The smallest first; the last is the large one. */
  databases: readonly { databaseId: string; rows: number; cells: number; transactions: number }[];
}

const BIG_CELLS = 2_000_000;
const BIG_TRANSACTION = 100;

/** 2,000,000 cells in one database, a tenth and a hundredth of it in others; made once a run. */
export function bigStore(context: RunContext): Promise<BigStore> {
  return context.shared('big-store', async () => {
    const databases = [100, 10, 1].map((divisor) => {
      const transactions = context.count(BIG_CELLS / divisor / BIG_TRANSACTION);
      const cells = transactions * BIG_TRANSACTION;
      return {
        ...{ databaseId: `cells-${cells}`, cells, transactions, rows: cells / COLUMNS_PER_ROW },
      };
    });
    const plans = databases.map(({ databaseId, cells }) => ({
      ...{ databaseId, changes: cells, changesPerTransaction: BIG_TRANSACTION },
    }));
    return { dataDir: await buildStore(context, plans), databases };
  });
}

/** A copy for a figure that writes. */
export function copyStore(context: RunContext, dataDir: string): string {
  const directory = context.newDirectory();
  cpSync(dataDir, directory, { recursive: true });
  return directory;
}
