/**
 * Parses `storage.url`, the address of PostgreSQL.
 *
 *     postgres://user:password@host:port,host2:port2/database?schema=sync_coordinator&sslmode=require
 *
 * Several hosts are a primary and the replicas that may take its place: the one that takes writes
 * is used, as with `target_session_attrs=read-write`. Other parameters have the names of libpq and
 * `pg`: sslmode, sslrootcert, application_name, … As in `pg`, every sslmode but disable and
 * no-verify means verify-full.
 */

import { parse } from 'pg-connection-string';
import { ConfigError } from '../../errors/config-error.ts';

const DEFAULT_SCHEMA = 'sync_coordinator';
const DEFAULT_PORT = 5432;
const CONNECT_TIMEOUT_S = 5;
const QUERY_TIMEOUT_MS = 15_000;
const STALL_TIMEOUT_MS = 10_000;
/** The schema is also the name of the notification channel, and is part of statements unescaped. */
const SCHEMA_NAME = /^[a-z_][a-z0-9_]{0,62}$/;
/** Modes that `pg` takes for verify-full as well, but with a warning of many lines. */
const VERIFYING_MODE = /([?&]sslmode=)(?:prefer|require|verify-ca)(?=&|$)/;
const AUTHORITY = /^(postgres(?:ql)?:\/\/(?:[^@/?#]*@)?)([^/?#]*)(.*)$/is;

export interface PostgresHost {
  host: string;
  port: number;
}

/** How long PostgreSQL, or the network to it, may be silent. */
export interface PostgresTimeouts {
  /** `connect_timeout`, which is in seconds: until a connection can be used. */
  connectMs: number;
  /** `query_timeout`: until a statement is answered. After it the connection is closed. */
  queryMs: number;
  /**
   * `idle_in_transaction_session_timeout`: until PostgreSQL ends a transaction whose client sends
   * nothing. Other coordinators wait up to this time for its lock.
   */
  stallMs: number;
}

export interface PostgresAddress {
  /** In the order of the URL. */
  hosts: readonly [PostgresHost, ...PostgresHost[]];
  database: string | undefined;
  user: string | undefined;
  password: string | undefined;
  /** The `ssl` option of `pg`. */
  ssl: boolean | object | undefined;
  /** The schema of our tables. */
  schema: string;
  applicationName: string;
  timeouts: PostgresTimeouts;
}

/**
 * @param url with its scheme
 * @throws ConfigError, without the URL, which may hold a password
 */
export function parsePostgresUrl(url: string): PostgresAddress {
  const [, head, authority, rest] = AUTHORITY.exec(url) ?? [];
  if (head === undefined || authority === undefined || authority === '') {
    throw refused('names no host: postgres://user:password@host/database');
  }
  const hosts = authority.split(',').map(parseHost);
  const [first, ...others] = hosts;
  const parameters = parseParameters(`${head}placeholder${rest ?? ''}`);
  const text = (name: string) => {
    const value = parameters[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const schema = text('schema') ?? DEFAULT_SCHEMA;
  if (!SCHEMA_NAME.test(schema)) {
    throw refused('names a schema that is not 1 to 63 characters of a-z 0-9 _');
  }
  const session = text('target_session_attrs');
  if (session !== undefined && session !== 'read-write' && session !== 'primary') {
    throw refused(
      'sets target_session_attrs to something else than read-write: the coordinator has to write',
    );
  }
  const { ssl } = parameters;
  return {
    hosts: [first ?? parseHost(''), ...others],
    database: text('database'),
    user: text('user'),
    password: text('password'),
    ssl: typeof ssl === 'boolean' || typeof ssl === 'object' ? (ssl ?? undefined) : undefined,
    schema,
    applicationName: text('application_name') ?? 'sync-coordinator',
    timeouts: parseTimeouts(text),
  };
}

function parseTimeouts(text: (name: string) => string | undefined): PostgresTimeouts {
  const positive = (name: string, fallback: number) => {
    const value = text(name) ?? String(fallback);
    if (!/^[1-9]\d{0,6}$/.test(value)) throw refused(`sets ${name} to no whole number from 1`);
    return Number(value);
  };
  const timeouts = {
    connectMs: positive('connect_timeout', CONNECT_TIMEOUT_S) * 1000,
    queryMs: positive('query_timeout', QUERY_TIMEOUT_MS),
    stallMs: positive('idle_in_transaction_session_timeout', STALL_TIMEOUT_MS),
  };
  if (timeouts.queryMs <= timeouts.stallMs) {
    throw refused(
      `sets query_timeout (${timeouts.queryMs} ms) to no more than ` +
        `idle_in_transaction_session_timeout (${timeouts.stallMs} ms): waiting for the lock of a ` +
        'coordinator that has stalled would always time out',
    );
  }
  return timeouts;
}

/** For people, without user and password. */
export function describeAddress({ hosts, database, schema }: PostgresAddress): string {
  const names = hosts.map(({ host, port }) => `${host}:${port}`).join(', ');
  return `PostgreSQL at ${names}, database ${database ?? '(of the user)'}, schema ${schema}`;
}

function parseHost(text: string): PostgresHost {
  const [, bracketed, plain = '', digits = String(DEFAULT_PORT)] =
    /^(?:\[([0-9a-f:.]+)\]|([^:]*))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === '' || port === 0 || port > 65_535) {
    throw refused('names a host that is not host or host:port, several separated by commas');
  }
  return { host: decodeURIComponent(host), port };
}

function parseParameters(url: string): Readonly<Record<string, unknown>> {
  const isCompatible = /[?&]uselibpqcompat=true(?=&|$)/.test(url);
  try {
    return { ...parse(isCompatible ? url : url.replace(VERIFYING_MODE, '$1verify-full')) };
  } catch (cause) {
    // The cause may be a file that the URL names, such as sslrootcert.
    const path = cause instanceof Error && 'path' in cause ? `: ${String(cause.path)}` : '';
    throw refused(`is no URL of PostgreSQL${path}`, cause);
  }
}

function refused(expected: string, cause?: unknown): ConfigError {
  const fault = { source: 'config', name: 'storage.url', value: undefined, expected };
  return new ConfigError([fault], { cause });
}
