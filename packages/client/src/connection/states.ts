/**
 * The states of a connection, and what becomes of each by each event: a total table, which a test
 * walks through and docs/client.md draws. Nothing here has effects.
 */

export const STATES = [
  /** Not wanted. */
  'stopped',
  /** Wanted, but the device says that it has no network. */
  'offline',
  /** The token is asked for, and the socket is opened. */
  'connecting',
  /** The server was asked to let the client in. */
  'handshaking',
  /** The server is asked what has been missed. */
  'catchingUp',
  /** A snapshot is being received. */
  'bootstrapping',
  /** All that the server had has been received; what is written is pushed both ways. */
  'live',
  /** Live, and newer credentials are asked for. */
  'renewing',
  /** Lost. Another try comes after a pause. */
  'waiting',
  /** Refused for good, until somebody changes something. */
  'refused',
] as const;

export type ConnectionState = (typeof STATES)[number];

export const EVENTS = [
  /** `connect()`, or a new token. */
  'start',
  'stop',
  /** The network is there again, or the app is seen again. */
  'wake',
  /** The device says that the network is gone. */
  'sleep',
  /** The pause is over. */
  'retry',
  'opened',
  /** Let in, and the replica has a position to go on from. */
  'welcomed',
  /** Let in, or in already, and only a snapshot will do. */
  'snapshotNeeded',
  'snapshotReceived',
  /** The last message of an answer to `get_changes` has been received. */
  'caughtUp',
  /** It may not read, though perhaps write. */
  'denied',
  /** The credentials run out soon, or others were set. */
  'expiring',
  'renewed',
  /** The socket is gone, or could not be opened, or gives no answer, or there was no token. */
  'lost',
  /** The server said that another try like this one is useless. */
  'fatal',
] as const;

export type ConnectionEvent = (typeof EVENTS)[number];

type Moves = Readonly<Partial<Record<ConnectionEvent, ConnectionState>>>;

/** Of all states that have a socket. */
const onSocket = { lost: 'waiting', fatal: 'refused', sleep: 'offline' } as const;

/** Where events lead. `stop` leads to `stopped` from everywhere; all else leaves a state as it is. */
const MOVES: Readonly<Record<ConnectionState, Moves>> = {
  stopped: { start: 'connecting' },
  offline: { start: 'connecting', wake: 'connecting' },
  connecting: { ...onSocket, opened: 'handshaking' },
  handshaking: {
    ...onSocket,
    welcomed: 'catchingUp',
    snapshotNeeded: 'bootstrapping',
  },
  catchingUp: {
    ...onSocket,
    caughtUp: 'live',
    denied: 'live',
    snapshotNeeded: 'bootstrapping',
  },
  bootstrapping: {
    ...onSocket,
    snapshotReceived: 'catchingUp',
    denied: 'live',
  },
  live: { ...onSocket, expiring: 'renewing', snapshotNeeded: 'bootstrapping' },
  renewing: { ...onSocket, renewed: 'live', snapshotNeeded: 'bootstrapping' },
  waiting: {
    start: 'connecting',
    wake: 'connecting',
    retry: 'connecting',
    sleep: 'offline',
  },
  refused: { start: 'connecting' },
};

export function nextState(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  return event === 'stop' ? 'stopped' : (MOVES[state][event] ?? state);
}

/** The whole table, for who draws or checks it. */
export const TRANSITIONS: Readonly<
  Record<ConnectionState, Readonly<Record<ConnectionEvent, ConnectionState>>>
> = /* @__PURE__ */ toTable(STATES, (state) => toTable(EVENTS, (event) => nextState(state, event)));

function toTable<K extends string, V>(keys: readonly K[], valueFor: (key: K) => V): Record<K, V> {
  return Object.fromEntries(keys.map((key) => [key, valueFor(key)])) as Record<K, V>;
}

/** Whether batches may be sent. What a snapshot replaces is sent after it. */
export function mayApply(state: ConnectionState): boolean {
  return state === 'live' || state === 'renewing';
}

/** Whether the server has let the client in. */
export function hasSession(state: ConnectionState): boolean {
  return hasSocket(state) && state !== 'connecting' && state !== 'handshaking';
}

/** Whether there is a socket, or one is being opened. */
export function hasSocket(state: ConnectionState): boolean {
  return MOVES[state].lost !== undefined;
}
