/**
 * What is counted and timed, on a registry of the coordinator's own. Labels come from
 * fixed lists only (transports, operations, codes, hooks and their modules): never from what a client sends.
 */

import { Counter, Gauge, Registry } from 'prom-client';
import { COUNTED_LIMITS, type LimitName } from '../errors/limit-names.ts';
import type { SyncError } from '../errors/sync-error.ts';
import { GatheredCounter, GatheredHistogram, gatheredCounter, Tally } from './gathered-metrics.ts';
import { HookTimings } from './hook-timings.ts';

const SECONDS_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];
const CHANGES_BUCKETS = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000];

/** Figures that are read when somebody asks, rather than counted. */
export interface Gauges {
  connections(): number;
  socketsUnauthenticated(): number;
  sessions(): number;
  openStores(): number;
  logLength(): number;
  logChanges(): number;
  logChangesReplaced(): number;
  queuedBytes(): number;
  snapshotStreams(): number;
  positionAhead(): number;
  logPins(): number;
  logPinAge(): number;
  logPinLag(): number;
}

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: Label[] = [],
  ) => new Counter({ name: `sync_${name}`, help, labelNames, registers });
  /** What every transaction adds to is gathered here. */
  const gathered = (name: string, help: string) =>
    new GatheredCounter({ registry, name: `sync_${name}`, help });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new GatheredHistogram({ registry, name: `sync_${name}`, help, buckets });

  const requests = { websocket: new Tally<string>(), http: new Tally<string>() };
  const requestsTotal = {
    registry,
    name: 'sync_requests_total',
    help: 'Operations asked for, by transport and kind.',
    labelNames: ['transport', 'operation'],
  } as const;
  gatheredCounter(requestsTotal, () =>
    Object.entries(requests).flatMap(([transport, { counts }]) =>
      [...counts].map(([operation, count]) => [{ transport, operation }, count] as const),
    ),
  );

  const errors = counter('errors_total', 'Errors that were sent to clients, by code.', ['code']);
  const limits = counter(
    'limits_met_total',
    'How often clients met a limit: they were refused, closed, or made to wait; by option.',
    ['limit'],
  );
  // All of them from the start, so that a first time is seen as a rise.
  for (const limit of COUNTED_LIMITS) limits.inc({ limit }, 0);
  const limitMet = (limit: LimitName) => limits.inc({ limit });

  const hookTimings = new HookTimings(registry, SECONDS_BUCKETS);

  return {
    registry,
    /** Gauges are read from whoever knows, at the time of asking. */
    expose(gauges: Gauges): void {
      for (const [key, [name, help]] of Object.entries(GAUGES)) {
        const read = gauges[key as keyof Gauges];
        const collect = function (this: Gauge) {
          this.set(read());
        };
        new Gauge({ name: `sync_${name}`, help, registers, collect });
      }
    },
    /** By their kind. */
    requests,
    /** A client is told of an error. */
    errorSent({ code, limit }: Pick<SyncError, 'code' | 'limit'>): void {
      errors.inc({ code });
      if (limit !== undefined) limitMet(limit);
    },
    /** A client met a limit that no error tells it of. */
    limitMet,
    changesReceived: gathered('changes_received_total', 'Changes and migrations received.'),
    changesApplied: gathered('changes_applied_total', 'Changes and migrations that took effect.'),
    changesSkipped: gathered('changes_skipped_total', 'Changes that were known already.'),
    changesConflicting: gathered(
      'changes_conflicting_total',
      'Changes that lost against a newer one.',
    ),
    changesRejected: gathered('changes_rejected_total', 'Changes that a hook rejected.'),
    changesPushed: gathered(
      'changes_pushed_total',
      'Change sets pushed, counted for each receiver.',
    ),
    applySeconds: histogram(
      'apply_duration_seconds',
      'From an apply being taken up to its being durable.',
      SECONDS_BUCKETS,
    ),
    querySeconds: histogram(
      'query_duration_seconds',
      'The reading of one page of changes.',
      SECONDS_BUCKETS,
    ),
    batchSize: histogram('batch_size_changes', 'Changes in one batch.', CHANGES_BUCKETS),
    changesCompacted: counter(
      'changes_compacted_total',
      'Changes that have left the logs, since later ones had replaced them.',
    ),
    tombstonesExpired: counter(
      'tombstones_expired_total',
      'Deletions that were forgotten, since sync.tombstoneTTL had passed.',
    ),
    logPinsLapsed: counter(
      'log_pins_lapsed_total',
      'Log pins that were removed, since nobody had renewed them for sync.logPinMaxAgeMs.',
    ),
    /** Told of every call of a hook. */
    hookObserver: hookTimings.observer,
    hookReloads: counter('hook_reloads_total', 'Reloads of the hook modules, by outcome.', [
      'outcome',
    ]),
    strayRejections: counter(
      'hook_stray_rejections_total',
      'Promises that rejected without anybody waiting for them, by the hook module that made them.',
      ['module'],
    ),
    snapshots: counter('snapshots_total', 'Snapshots that were begun.'),
    snapshotsCompleted: counter(
      'snapshots_completed_total',
      'Snapshots that were sent to the end.',
    ),
    authAttempts: counter('auth_attempts_total', 'Attempts to authenticate, by transport.', [
      'transport',
    ]),
    authFailures: counter(
      'auth_failures_total',
      'Attempts that were refused, by transport and code.',
      ['transport', 'code'],
    ),
    socketsStalled: counter(
      'sockets_stalled_total',
      'Sockets that were closed for taking nothing for limits.stalledMs.',
    ),
  };
}

const GAUGES: Record<keyof Gauges, [name: string, help: string]> = {
  connections: ['connections', 'WebSockets that are open.'],
  socketsUnauthenticated: ['sockets_unauthenticated', 'WebSockets that have not shaken hands yet.'],
  sessions: ['sessions', 'WebSockets whose handshake is done.'],
  openStores: ['open_stores', 'Databases that are open.'],
  logLength: ['log_length_transactions', 'Transactions in the logs of the open databases.'],
  logChanges: ['log_changes', 'Changes and migrations in the logs of the open databases.'],
  logChangesReplaced: [
    'log_changes_replaced',
    'About how many of them later ones have replaced: they leave when the log is shortened.',
  ],
  queuedBytes: [
    'queued_bytes',
    'Bytes that wait to be sent, over all sockets, and of answers over HTTP that are read or not yet taken.',
  ],
  snapshotStreams: ['snapshot_streams', 'Snapshots that are being sent.'],
  positionAhead: [
    'position_ahead_seconds',
    'How far the newest position is ahead of the clock: 0 unless it was set back.',
  ],
  logPins: ['log_pins', 'Log pins of the open databases, when these were tidied up the last time.'],
  logPinAge: [
    'log_pin_age_seconds',
    'How long ago the one of them was renewed that has not been for longest.',
  ],
  logPinLag: [
    'log_pin_lag_seconds',
    'How long ago the oldest change came that they keep in a log, since a reader has yet to take it up.',
  ],
};
