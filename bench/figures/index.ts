import type { Figure } from '../lib/figure.ts';
import { sharedTransactions, transactions } from './a-transactions.ts';
import { roundTrips } from './b-round-trips.ts';
import { latency } from './c-latency.ts';
import { largeStore } from './d-large-store.ts';
import { catchUp } from './e-catch-up.ts';
import { snapshot } from './f-snapshot.ts';
import { fanOut, flood } from './g-fan-out.ts';
import { idleSessions } from './i-idle-sessions.ts';
import { growth } from './j-growth.ts';
import { start } from './k-start.ts';
import { hooks } from './l-hooks.ts';
import { cluster } from './m-cluster.ts';

export const FIGURES: readonly Figure[] = [
  transactions,
  sharedTransactions,
  roundTrips,
  latency,
  largeStore,
  catchUp,
  snapshot,
  fanOut,
  flood,
  idleSessions,
  growth,
  start,
  hooks,
  cluster,
];

/** @throws Error that names the figures there are */
export function chooseFigures(names: readonly string[]): readonly Figure[] {
  if (names.length === 0) return FIGURES;
  const chosen = names.map((name) => {
    const wanted = name.toLowerCase();
    const figure = FIGURES.find(
      ({ letters, name: own }) =>
        own === wanted || letters.some((letter) => letter.toLowerCase() === wanted),
    );
    if (figure !== undefined) return figure;
    const known = FIGURES.map(({ letters, name: own }) => `${letters.join('/')} (${own})`);
    throw new Error(`no figure ${name}; there are ${known.join(', ')}`);
  });
  return FIGURES.filter((figure) => chosen.includes(figure));
}
