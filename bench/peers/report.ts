/** The results as Markdown tables, which go into `bench/README.md` as they are. */

import { formatNumber } from '../lib/report.ts';
import { CONTENDERS, type Contender, versionOf } from './contenders.ts';
import type { FanOut, Results, Stalled } from './measure.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export interface Report {
  fanOut: { listeners: number; perSecond: number; results: Results<FanOut> }[];
  stalled: Results<Stalled>;
  /** Bytes a session. */
  idle: Results<number>;
}

type Cell = (contender: Contender) => string;

function table(columns: readonly (readonly [heading: string, cell: Cell])[]): string {
  const lines = [
    ['', ...columns.map(([heading]) => heading)],
    ['---', ...columns.map(() => '---')],
    ...CONTENDERS.map((contender) => [
      contender.name,
      ...columns.map(([, cell]) => cell(contender)),
    ]),
  ];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** A cell of a result, where there is one. */
function of<T>(results: Results<T>, format: (result: T) => string): Cell {
  return ({ name }) => {
    const result = results.get(name);
    return result === undefined ? '' : format(result);
  };
}

function fanOutCell({ p50Ms, p99Ms, cpuUs, arrived, keptUp }: FanOut): string {
  const lag = arrived < 1 ? `; ${formatNumber(arrived * 100)}% arrived` : '; fell behind';
  const times = `${formatNumber(p50Ms)} / ${formatNumber(p99Ms)} ms, ${formatNumber(cpuUs)} µs`;
  return keptUp ? times : times + lag;
}

const mib = (bytes: number) => `${formatNumber(Math.round(bytes / MIB))} MiB`;

function closedCell({ stalledClosed, closedAfterMs }: Stalled): string {
  return closedAfterMs === undefined
    ? `${stalledClosed} of 20`
    : `all, after ${Math.round(closedAfterMs / 1000)} s`;
}

export function reportToMarkdown({ fanOut, stalled, idle }: Report): string {
  const what = table([
    ['Version', versionOf],
    ['With a transaction it', ({ does }) => does],
    ['Persists', ({ persists }) => persists],
    ['Authorises', ({ authorises }) => authorises],
  ]);
  const fanOuts = table(
    fanOut.map(({ listeners, perSecond, results }) => [
      `${listeners.toLocaleString('en')} × ${perSecond}/s`,
      of(results, fanOutCell),
    ]),
  );
  const memory = table([
    ['20 MB, all read', of(stalled, ({ growthReading }) => mib(growthReading))],
    ['20 MB, 20 stalled', of(stalled, ({ growthStalled }) => mib(growthStalled))],
    ['40 s later', of(stalled, ({ growthAfter }) => mib(growthAfter))],
    ['The others got', of(stalled, ({ arrived }) => `${formatNumber(arrived * 100)}%`)],
    ['at p99', of(stalled, ({ p99Ms }) => `${formatNumber(p99Ms)} ms`)],
    ['Stalled ones closed', of(stalled, closedCell)],
    ['Idle session', of(idle, (bytes) => `${formatNumber(bytes / KIB)} KiB`)],
  ]);
  return [what, fanOuts, memory].join('\n\n');
}
