/**
 * The states of a connection, the events that lead from one to the next, and what becomes of each
 * message in each state.
 */

import type { ClientMessage } from '../protocol/schemas.ts';

export type ConnectionState =
  /** No handshake has arrived. */
  | 'new'
  /** The handshake is being checked. Until that is done the inbox gives out no other message. */
  | 'joining'
  /** There is a session. */
  | 'joined'
  /** The client has been told the end; the socket is about to close. */
  | 'ending'
  /** The socket has closed. */
  | 'closed';

export type ConnectionEvent = 'handshake' | 'admitted' | 'ended' | 'closed';

/** An event that is missing here comes too late, such as an admission after the close. */
const NEXT: Readonly<
  Record<ConnectionState, Readonly<Partial<Record<ConnectionEvent, ConnectionState>>>>
> = {
  new: { handshake: 'joining', ended: 'ending', closed: 'closed' },
  joining: { admitted: 'joined', ended: 'ending', closed: 'closed' },
  joined: { ended: 'ending', closed: 'closed' },
  ending: { closed: 'closed' },
  closed: {},
};

type MessageType = ClientMessage['type'];
type Reception = 'take' | 'ignore' | 'NOT_AUTHENTICATED' | 'ALREADY_AUTHENTICATED';

function requests(reception: Reception) {
  return {
    get_changes: reception,
    apply_changes: reception,
    get_snapshot: reception,
    resume_snapshot: reception,
    authenticate: reception,
  };
}

const IGNORED = { ping: 'ignore', handshake: 'ignore', ...requests('ignore') } as const;

const RECEPTIONS: Readonly<Record<ConnectionState, Readonly<Record<MessageType, Reception>>>> = {
  new: { ping: 'take', handshake: 'take', ...requests('NOT_AUTHENTICATED') },
  joining: IGNORED,
  joined: { ping: 'take', handshake: 'ALREADY_AUTHENTICATED', ...requests('take') },
  ending: IGNORED,
  closed: IGNORED,
};

export class ConnectionStates {
  #now: ConnectionState = 'new';

  get now(): ConnectionState {
    return this.#now;
  }

  /** @returns whether the event leads to another state */
  on(event: ConnectionEvent): boolean {
    const next = NEXT[this.#now][event];
    if (next === undefined) return false;
    this.#now = next;
    return true;
  }

  /** Whether a message is taken, ignored, or refused with a code. */
  receptionOf(type: MessageType): Reception {
    return RECEPTIONS[this.#now][type];
  }
}
