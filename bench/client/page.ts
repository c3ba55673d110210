/** In a browser: what the client does with IndexedDB, and a bare parse beside it. */

import { indexedDbStore } from '@sync-coordinator/client/indexeddb';
import { bootstrap, parse, type Recording } from './replay.ts';

const recording = fetch('/recording').then((response) => response.json() as Promise<Recording>);
let names = 0;

export const methods = {
  bootstrap: async () => bootstrap(await recording, indexedDbStore(`bench-${++names}`)),
  parse: async () => parse(await recording),
};

Object.assign(globalThis, { methods });
