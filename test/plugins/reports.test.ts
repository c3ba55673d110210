import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gauge } from 'prom-client';
import reports from '../../plugins/reports.ts';
import { deferred } from '../hooks/support.ts';
import { aMoment } from '../support/moment.ts';
import { assertNeeds } from './bare-app.ts';
import { appWithService } from './service-app.ts';

test('it needs the metrics, the service and the errors', async (t) => {
  await assertNeeds(t, reports, 'sync-coordinator-reports', [
    'sync-coordinator-metrics',
    'sync-coordinator-service',
    'sync-coordinator-errors',
  ]);
});

test('what is counted is to be read at /metrics, in the format of Prometheus', async (t) => {
  const app = await appWithService(t);
  await app.register(reports);
  const { errorSent } = app.coordinatorMetrics;
  for (let i = 0; i < 3; i++) errorSent({ code: 'OVERLOADED', limit: 'limits.sessions' });
  const { statusCode, headers, body } = await app.inject('/metrics');
  assert.equal(statusCode, 200);
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
  assert.match(body, /^sync_errors_total\{code="OVERLOADED"\} 3$/m);
  assert.match(body, /^sync_limits_met_total\{limit="limits\.sessions"\} 3$/m);
  assert.match(body, /^sync_limits_met_total\{limit="limits\.messageBytes"\} 0$/m);
});

test('all who ask for the metrics while they are gathered get what is gathered then', async (t) => {
  const app = await appWithService(t);
  await app.register(reports);
  const gate = deferred();
  let gathered = 0;
  const gauge = new Gauge({
    name: 'slow',
    help: 'Takes its time.',
    registers: [app.coordinatorMetrics.registry],
    async collect() {
      gathered++;
      await gate.promise;
    },
  });
  gauge.set(1);
  const asked = Array.from({ length: 50 }, () => app.inject('/metrics'));
  while (gathered === 0) await aMoment();
  gate.resolve();
  for (const { body } of await Promise.all(asked)) assert.match(body, /^slow 1$/m);
  assert.equal(gathered, 1);
});
