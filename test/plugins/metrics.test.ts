import assert from 'node:assert/strict';
import { test } from 'node:test';
import metrics from '../../plugins/metrics.ts';
import { bareApp } from './bare-app.ts';

test('what is counted is to be read at /metrics, in the format of Prometheus', async (t) => {
  const app = bareApp(t);
  await app.register(metrics);
  const { errorSent } = app.coordinatorMetrics;
  for (let i = 0; i < 3; i++) errorSent({ code: 'OVERLOADED', limit: 'limits.sessions' });
  const { statusCode, headers, body } = await app.inject('/metrics');
  assert.equal(statusCode, 200);
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
  assert.match(body, /^sync_errors_total\{code="OVERLOADED"\} 3$/m);
  assert.match(body, /^sync_limits_met_total\{limit="limits\.sessions"\} 3$/m);
  assert.match(body, /^sync_limits_met_total\{limit="limits\.messageBytes"\} 0$/m);
  assert.ok(app.hasPlugin('sync-coordinator-metrics'));
});

test('two coordinators in one process count apart', async (t) => {
  const [one, other] = [bareApp(t), bareApp(t)];
  await one.register(metrics);
  await other.register(metrics);
  one.coordinatorMetrics.changesApplied.inc(5);
  assert.match((await one.inject('/metrics')).body, /^sync_changes_applied_total 5$/m);
  assert.match((await other.inject('/metrics')).body, /^sync_changes_applied_total 0$/m);
});
