/**
 * `npm run bench:peers` puts the coordinator beside others, as it is built, once `npm ci` was run in
 * this directory. See "Beside others" in `bench/README.md`.
 */

import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { RunContext } from '../lib/run-context.ts';
import { CONTENDERS, versionOf } from './contenders.ts';
import { measureFanOut, measureIdle, measureStalled } from './measure.ts';
import { type Report, reportToMarkdown } from './report.ts';

const FAN_OUTS = [
  { listeners: 300, perSecond: 20 },
  { listeners: 300, perSecond: 100 },
  { listeners: 1000, perSecond: 20 },
];

const { values: options } = parseArgs({ options: { json: { type: 'string' } } });
const versions = Object.fromEntries(CONTENDERS.map((each) => [each.name, versionOf(each)]));
const context = new RunContext(1, undefined);

/** Says how long it took. */
async function timed<T>(name: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await work();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  process.stderr.write(`${name} took ${seconds} s\n`);
  return result;
}

async function measure(): Promise<Report> {
  const fanOut: Report['fanOut'] = [];
  for (const { listeners, perSecond } of FAN_OUTS) {
    const results = await timed(`fan-out, ${listeners} × ${perSecond}/s`, () =>
      measureFanOut(context, listeners, perSecond),
    );
    fanOut.push({ listeners, perSecond, results });
  }
  const stalled = await timed('stalled readers', () => measureStalled(context));
  const idle = await timed('idle sessions', () => measureIdle(context));
  return { fanOut, stalled, idle };
}

process.once('SIGINT', () => void context.end().finally(() => process.exit(130)));
try {
  const report = await measure();
  process.stdout.write(`\n${reportToMarkdown(report)}\n`);
  if (options.json !== undefined) {
    const machine = {
      node: process.version,
      cpus: cpus().length,
      cpu: cpus()[0]?.model,
      loadAverage: loadavg(),
    };
    const plain = {
      fanOut: report.fanOut.map((each) => ({
        ...each,
        results: Object.fromEntries(each.results),
      })),
      stalled: Object.fromEntries(report.stalled),
      idleBytes: Object.fromEntries(report.idle),
    };
    writeFileSync(options.json, `${JSON.stringify({ machine, versions, ...plain }, null, 2)}\n`);
  }
} finally {
  await context.end();
}
