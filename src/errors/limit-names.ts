/**
 * The options that bound what clients may cost. Whenever one is met `sync_limits_met_total` says which:
 * what is refused for it carries its name, and what is only slowed down is counted where it is.
 *
 * Not here is what is no bound for a client: `limits.pageBytes` cuts answers, and
 * `limits.shutdownMs` bounds a stop.
 */

export const COUNTED_LIMITS = [
  'limits.messageBytes',
  'limits.changesPerBatch',
  'limits.valuesPerMessage',
  'limits.valueBytes',
  'limits.rowBytes',
  'limits.columnsPerRow',
  'limits.tablesPerDatabase',
  'limits.ddlBytesPerDatabase',
  'limits.heldBytesPerSite',
  'limits.heldBytesPerDatabase',
  'limits.bytesInFlight',
  'limits.bytesInFlightPerClient',
  'limits.answerBytes',
  'limits.answerBytesPerClient',
  'limits.messagesInFlight',
  'limits.pipelinedRequests',
  'limits.messagesPerSecond',
  'limits.queuedBytesPerSocket',
  'limits.stalledMs',
  'limits.connections',
  'limits.sessions',
  'limits.snapshotStreams',
  'limits.sharePerUser',
  'limits.snapshotBytesPerSecond',
  'limits.unauthenticatedSockets',
  'limits.handshakeBytes',
  'limits.handshakeTimeoutMs',
  'limits.requestTimeoutMs',
  'limits.failedLoginsPerMinute',
  'storage.maxOpenDatabases',
  'storage.maxDatabases',
] as const;

export type LimitName = (typeof COUNTED_LIMITS)[number];
