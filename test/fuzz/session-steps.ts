/** What a client may say in a session, rightly and wrongly, each with what the model expects. */

import fc from 'fast-check';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import {
  type Answer,
  BAD_TOKEN,
  CHANGES_MAX,
  refusal,
  type Seat,
  type Step,
  unlessJoined,
} from './session-model.ts';

interface Choice {
  /** Which row and column a write is of, and so what it may meet. */
  row: number;
  requestId: string | undefined;
}

type StepMaker = (seat: Seat, choice: Choice, databaseId: string) => Step;

const STRANGER = new Device(99);

function handshake(more: object, refused?: { code: string; close: number }): StepMaker {
  return (seat, _choice, databaseId) => {
    const { siteId } = seat.device;
    const message = { type: 'handshake', siteId, databaseId, protocolVersion: 1, ...more };
    if (seat.state === 'joined') return { message, answer: refusal('ALREADY_AUTHENTICATED') };
    if (refused === undefined) {
      seat.state = 'joined';
      return { message, answer: { type: 'handshake_ack' } };
    }
    return { message, answer: refusal(refused.code), close: refused.close };
  };
}

const otherVersion: StepMaker = ({ device }) => ({
  message: { type: 'handshake', siteId: device.siteId, protocolVersion: 2 },
  answer: refusal('PROTOCOL_VERSION_MISMATCH'),
  close: 4003,
});

/** A request that is of the right shape. */
function request(type: string, answerType: string, more: (seat: Seat) => object): StepMaker {
  return (seat, { requestId }) => ({
    message: { type, requestId, ...more(seat) },
    answer: unlessJoined(seat, { type: answerType, requestId }, requestId),
  });
}

/** What is wrong in its shape is refused whoever says it, and whenever. */
function malformed(message: object): StepMaker {
  return (_seat, { requestId }) => ({
    message: { ...message, requestId },
    answer: refusal('MESSAGE_ERROR', requestId),
  });
}

function apply(make: (seat: Seat, row: number) => WireChangeSet, code?: string): StepMaker {
  return (seat, { row, requestId }) => {
    const changeSet = make(seat, row);
    const right: Answer = { type: 'apply_result', requestId };
    const answer = unlessJoined(
      seat,
      code === undefined ? right : refusal(code, requestId),
      requestId,
    );
    const isAccepted = answer.type === 'apply_result';
    return {
      message: { type: 'apply_changes', changes: [changeSet], requestId },
      answer: code === 'TOO_LARGE' ? refusal(code, requestId) : answer,
      accepted: isAccepted ? changeSet : undefined,
    };
  };
}

const write = ({ device }: Seat, row: number) =>
  row % 5 === 0
    ? device.write({ pk: [row % 3], delete: true })
    : device.write({ pk: [row % 3], set: { [`c${row % 2}`]: row, d: device.siteId } });

const repeated: StepMaker = (seat, choice, databaseId) => {
  const last = seat.acknowledged.at(-1);
  const step = apply(() => last ?? write(seat, choice.row))(seat, choice, databaseId);
  return { ...step, isRepeated: last !== undefined };
};

const tooMany = ({ device }: Seat) =>
  device.write(...Array.from({ length: CHANGES_MAX + 1 }, (_, i) => ({ pk: [i], set: { c0: i } })));

const farAhead = ({ device }: Seat) => {
  const ahead = new Device(1, Date.now() + 3_600_000);
  return { ...ahead.write({ pk: [1], set: { c0: 'ahead' } }), siteId: device.siteId };
};

const authenticate =
  (token: string): StepMaker =>
  (seat, { requestId }) => {
    const isRefused = seat.state === 'joined' && token === BAD_TOKEN;
    const right = { type: 'authenticated', requestId };
    return {
      message: { type: 'authenticate', token, requestId },
      answer: isRefused ? refusal('AUTH_FAILED', requestId) : unlessJoined(seat, right, requestId),
      ...(isRefused ? { close: 4001 } : {}),
    };
  };

const raw =
  (message: string | Uint8Array): StepMaker =>
  () => ({
    message,
    answer: refusal('MESSAGE_ERROR'),
  });

const foreignCheckpoint = {
  snapshotId: 'x',
  siteId: STRANGER.siteId,
  hlc: STRANGER.hlc(1_700_000_000_000),
  lastTableIndex: 0,
  lastEntryIndex: 0,
  completedTables: ['main.t'],
  entriesProcessed: 1,
  createdAt: 1,
};

export const STEPS: Record<string, StepMaker> = {
  handshake: handshake({}),
  'handshake of another version': otherVersion,
  'handshake for no database': handshake(
    { databaseId: 'a/b' },
    { code: 'INVALID_DATABASE_ID', close: 1008 },
  ),
  'handshake with a bad token': handshake(
    { token: BAD_TOKEN },
    { code: 'AUTH_FAILED', close: 4001 },
  ),
  'handshake of no site': (_seat, { requestId }) => ({
    message: { type: 'handshake', siteId: 'x', requestId },
    answer: refusal('MESSAGE_ERROR', requestId),
  }),
  'get all': request('get_changes', 'changes', () => ({})),
  'get what is new': request('get_changes', 'changes', ({ watermark }) => ({
    sinceHLC: watermark,
  })),
  'get since a stranger': request('get_changes', 'changes', () => ({ sinceHLC: STRANGER.hlc(1) })),
  'get since nonsense': malformed({ type: 'get_changes', sinceHLC: 'x' }),
  write: apply(write),
  'write again': repeated,
  'write nonsense': malformed({ type: 'apply_changes', changes: [{ siteId: 'x' }] }),
  'write too much': apply(tooMany, 'TOO_LARGE'),
  'write ahead of time': apply(farAhead, 'CLOCK_DRIFT'),
  snapshot: request('get_snapshot', 'snapshot_complete', () => ({})),
  'resume own snapshot': request('resume_snapshot', 'snapshot_complete', ({ checkpoint }) => ({
    checkpoint: checkpoint ?? foreignCheckpoint,
  })),
  'resume a stranger’s': request('resume_snapshot', 'snapshot_complete', () => ({
    checkpoint: foreignCheckpoint,
  })),
  'resume nonsense': malformed({ type: 'resume_snapshot', checkpoint: {} }),
  authenticate: authenticate('good'),
  'authenticate badly': authenticate(BAD_TOKEN),
  ping: () => ({ message: { type: 'ping' }, answer: { type: 'pong' } }),
  'unknown type': (_seat, { requestId }) => ({
    message: { type: 'no such', requestId },
    answer: refusal('UNKNOWN_MESSAGE', requestId),
  }),
  binary: raw(new Uint8Array([1, 2, 3])),
  'not JSON': raw('{"type":'),
};

export interface PlannedStep extends Choice {
  what: string;
}

/** Those that end the connection seldom, so that something is said before. */
export const plannedStep: fc.Arbitrary<PlannedStep> = fc.record({
  what: fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom('write', 'get what is new', 'handshake') },
    { weight: 4, arbitrary: fc.constantFrom(...Object.keys(STEPS)) },
  ),
  row: fc.nat(9),
  requestId: fc.option(fc.string({ maxLength: 8 }), { nil: undefined }),
});
