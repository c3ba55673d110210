import type { Figure } from '../lib/figure.ts';
import { sharedTransactions, transactions } from './a-transactions.ts';
import { roundTrips } from './b-round-trips.ts';
import { latency } from './c-latency.ts';
import { largeStore } from './d-large-store.ts';
import { catchUp } from './e-catch-up.ts';
import { names } from './e-names.ts';
import { snapshot } from './f-snapshot.ts';
import { fanOut, flood } from './g-fan-out.ts';
import { idleSessions } from './i-idle-sessions.ts';
import { growth } from './j-growth.ts';
import { start } from './k-start.ts';
import { hooks } from './l-hooks.ts';
import { cluster } from './m-cluster.ts';
import { drop } from './n-drop.ts';
import { client } from './o-client.ts';
import { compression } from './p-compression.ts';

export const FIGURES: readonly Figure[] = [
  transactions,
  sharedTransactions,
  roundTrips,
  latency,
  largeStore,
  catchUp,
  names,
  snapshot,
  fanOut,
  flood,
  idleSessions,
  growth,
  start,
  hooks,
  cluster,
  drop,
  client,
  compression,
];

/** @throws Error that names the figures there are */
export function chooseFigures(wanted: readonly string[]): readonly Figure[] {
  if (wanted.length === 0) return FIGURES;
  const chosen = new Set(wanted.flatMap((word) => figuresCalled(word)));
  return FIGURES.filter((figure) => chosen.has(figure));
}

/** Several may share a letter. */
function figuresCalled(word: string): readonly Figure[] {
  const wanted = word.toLowerCase();
  const found = FIGURES.filter(
    ({ letters, name }) =>
      name === wanted || letters.some((letter) => letter.toLowerCase() === wanted),
  );
  if (found.length > 0) return found;
  const known = FIGURES.map(({ letters, name }) => `${letters.join('/')} (${name})`);
  throw new Error(`no figure ${word}; there are ${known.join(', ')}`);
}
