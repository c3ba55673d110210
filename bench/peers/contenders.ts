/** The servers that are measured, and how a client of each begins. */

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TransactionMaker } from '../lib/messages.ts';
import type { RawListener } from '../lib/raw-listener.ts';

export type ContenderName = 'coordinator' | 'bare' | 'tinybase' | 'y-websocket' | 'hocuspocus';

/** Writes a cell of a new row as one transaction. */
export type Write = (row: number, value: string) => void;

export interface Contender {
  name: ContenderName;
  /** As its package is called; the limit has none. */
  package?: string;
  /** What is run, relative to this directory; the coordinator is started as elsewhere. */
  program?: string;
  /** Of the document, table store or database that all clients share. */
  path: string;
  /** What it does with a transaction before it passes it on. */
  does: string;
  persists: string;
  authorises: string;
}

/** The name of the database or document. */
export const SHARED = 'one';

export const CONTENDERS: readonly Contender[] = [
  {
    name: 'coordinator',
    package: 'sync-coordinator',
    path: '/sync/ws',
    does: 'checks it, merges it by column, writes it to the log and passes that on',
    persists: 'yes: LevelDB, every group synced to the disk before it is passed on',
    authorises: 'by hooks, for each client and change; none set here',
  },
  {
    name: 'bare',
    program: 'servers/bare.ts',
    path: '/',
    does: 'parses it, and writes one frame to each TCP socket',
    persists: 'yes: LevelDB, every group synced to the disk before it is passed on',
    authorises: 'no',
  },
  {
    name: 'tinybase',
    package: 'tinybase',
    program: 'servers/tinybase.mjs',
    path: `/${SHARED}`,
    does: 'passes it on unread; the clients merge',
    persists:
      'no: nothing is kept, a new client asks the others (with a persister: memory, then a file)',
    authorises: 'no (`verifyClient` of ws may)',
  },
  {
    name: 'y-websocket',
    package: '@y/websocket-server',
    program: 'node_modules/@y/websocket-server/src/server.js',
    path: `/${SHARED}`,
    does: 'merges it into a document in memory and passes that on',
    persists: 'no: memory only (LevelDB when `YPERSISTENCE` is set, not awaited)',
    authorises: 'no',
  },
  {
    name: 'hocuspocus',
    package: '@hocuspocus/server',
    program: 'servers/hocuspocus.mjs',
    path: '/',
    does: 'merges it into a document in memory and passes that on',
    persists: 'no: memory only (with an extension: the whole document, some seconds later)',
    authorises: 'by hooks, for each client and document; none set here',
  },
];

/** Whether it speaks the coordinator's protocol. */
export function speaksOurs(name: ContenderName): boolean {
  return name === 'coordinator' || name === 'bare';
}

/** Does what a client of it does first, and waits until it is let in and has what there is. */
export async function join(name: ContenderName, listener: RawListener): Promise<void> {
  if (speaksOurs(name)) await listener.join(new TransactionMaker().siteText, SHARED);
  if (name === 'y-websocket') await syncDocument(listener, []);
  if (name === 'hocuspocus') {
    const prefix = [SHARED.length, ...Buffer.from(SHARED)];
    // An empty token, which any server without hooks takes.
    await answerTo(listener, [...prefix, 2, 0, 0], [...prefix, 2, 2]);
    await syncDocument(listener, prefix);
  }
}

/** The first step of Yjs's protocol, of a client that has nothing; the second has everything. */
function syncDocument(listener: RawListener, prefix: number[]): Promise<void> {
  return answerTo(listener, [...prefix, 0, 0, 1, 0], [...prefix, 0, 1], [...prefix, 4, 1]);
}

function answerTo(listener: RawListener, question: number[], ...openings: number[][]) {
  return new Promise<void>((resolve) => {
    listener.onMessage = (message) => {
      const isAnswer = openings.some((opening) => opening.every((byte, i) => message[i] === byte));
      if (isAnswer) resolve();
    };
    listener.sendBinary(Uint8Array.from(question));
  });
}

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** Its package and version. */
export function versionOf(contender: Contender): string {
  if (contender.package === undefined) return 'bare raw + LevelDB sync: the limit';
  const directory =
    contender.program === undefined ? `${HERE}../..` : `${HERE}node_modules/${contender.package}`;
  const file = `${directory}/package.json`;
  if (!existsSync(file)) throw new Error('the peers are not installed: cd bench/peers && npm ci');
  return `${contender.package} ${JSON.parse(readFileSync(file, 'utf8')).version}`;
}
