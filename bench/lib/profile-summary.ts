/** Where a CPU profile says that time went: functions by the time spent in themselves. */

import { readFileSync } from 'node:fs';

const TOP = 25;

interface CpuProfile {
  nodes: {
    id: number;
    callFrame: { functionName: string; url: string; lineNumber: number };
  }[];
  samples: number[];
  /** Microseconds before each sample. */
  timeDeltas: number[];
}

const IDLE = new Set(['(idle)', '(program)', '(root)']);

/** `…/node_modules/ws/lib/sender.js` as `ws/lib/sender.js`, own files from the package's root on. */
function shortUrl(url: string): string {
  return url.replace(/^.*\/node_modules\//, '').replace(/^.*\/dist\//, '');
}

export function summariseProfile(path: string, top = TOP): string {
  const { nodes, samples, timeDeltas }: CpuProfile = JSON.parse(readFileSync(path, 'utf8'));
  const labels = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      url === ''
        ? functionName
        : `${functionName || '(anonymous)'} ${shortUrl(url)}:${lineNumber + 1}`,
    ]),
  );
  const selfUs = new Map<string, number>();
  samples.forEach((id, i) => {
    const label = labels.get(id) ?? '?';
    // What follows a sample is spent in it, as far as anybody can tell.
    selfUs.set(label, (selfUs.get(label) ?? 0) + (timeDeltas[i + 1] ?? 0));
  });
  const busy = [...selfUs].filter(([label]) => !IDLE.has(label)).sort((a, b) => b[1] - a[1]);
  const busyUs = busy.reduce((sum, [, us]) => sum + us, 0);
  const outside = [...selfUs].filter(([label]) => IDLE.has(label));
  const lines = busy.slice(0, top).map(([label, us]) => {
    const share = ((us / busyUs) * 100).toFixed(1);
    return `${share.padStart(5)} %  ${(us / 1000).toFixed(0).padStart(6)} ms  ${label}`;
  });
  const total = [['JavaScript and what it calls', busyUs] as const, ...outside]
    .map(([label, us]) => `${label} ${(us / 1000).toFixed(0)} ms`)
    .join(', ');
  return [total, ...lines].join('\n');
}
