/** What a run found, as a table for people. */

import { isMet, type Row, type Target } from './figure.ts';

export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

function formatTarget(target: Target): string {
  if ('better' in target) return `the ${target.better} the better`;
  return 'atMost' in target
    ? `≤ ${formatNumber(target.atMost)}`
    : `≥ ${formatNumber(target.atLeast)}`;
}

function formatQuantity(value: number, unit: string): string {
  return unit === '/s' ? `${formatNumber(value)}/s` : `${formatNumber(value)} ${unit}`;
}

const MET = { true: 'yes', false: 'no', undefined: '' };
const HEADING = ['', 'what', 'measured', 'limit', 'ratio', 'target', 'met'];

export function rowsToTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    row.figure,
    row.what,
    formatQuantity(row.measured, row.unit),
    `${formatQuantity(row.limit, row.unit)} (${row.limitOf})`,
    formatNumber(row.ratio),
    formatTarget(row.target),
    MET[`${isMet(row)}`],
  ]);
  const all = [HEADING, ...lines];
  const widths = HEADING.map((_, i) => Math.max(...all.map((line) => line[i]?.length ?? 0)));
  const toLine = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [toLine(HEADING), rule, ...lines.map(toLine)].join('\n');
}

export function detailsToText({ figure, details = {} }: Row): string {
  const parts = Object.entries(details).map(([name, value]) => `${name} ${formatNumber(value)}`);
  return parts.length === 0 ? '' : `${figure}: ${parts.join(', ')}`;
}
