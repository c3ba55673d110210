/** Every hook × everything that a hook can do: what the client gets, what is counted and logged. */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { SyncError } from '../../src/errors/sync-error.ts';
import { HOOK_KINDS, HOOK_NAMES, type HookName } from '../../src/hooks/kinds.ts';
import type { ErrorCode } from '../../src/protocol/error-codes.ts';
import { CALLS, changeSet, SHORT_MS, SITE, signalOf, testChain, untyped } from './support.ts';

type Act = (...args: unknown[]) => unknown;

const never = () => new Promise<never>(() => {});

/** Not before its time is up, so that nobody waits for it any more. */
const rejectsLate: Act = (...args) =>
  new Promise((_resolve, reject) => {
    signalOf(args).addEventListener('abort', () => reject(new Error('late')));
  });

/** A promise whose `then` is somebody's own. */
const promised = (then: (tell: (answer: unknown) => void) => void) =>
  Object.defineProperty(never(), 'then', { value: then });

const ACTS = {
  'answers undefined': () => undefined,
  'answers null': () => null,
  'answers true': () => true,
  'answers false': () => false,
  'answers 1': async () => 1,
  'answers "yes"': async () => 'yes',
  'answers an identity': () => ({ siteId: SITE }),
  'answers an identity with a short site id': () => ({ siteId: new Uint8Array(15) }),
  'answers an identity with a site id in text': () => ({ siteId: 'AAAAAAAAAAAAAAAAAAAAAA' }),
  'answers an identity with a number for a user': () => ({ siteId: SITE, userId: 1 }),
  'answers an identity with text for metadata': () => ({ siteId: SITE, metadata: 'admin' }),
  'answers a verdict': async () => ({ approved: [changeSet('t1')], rejected: [] }),
  'answers a verdict without rejected': () => ({ approved: [] }),
  'answers a verdict that approves null': () => ({ approved: [null], rejected: [] }),
  'answers a verdict with text for changes': () => ({
    approved: [{ ...changeSet('t1'), changes: 'x' }],
    rejected: [],
  }),
  'answers a verdict with a change of no type': () => ({
    approved: [{ ...changeSet('t1'), changes: [{}] }],
    rejected: [],
  }),
  'answers a verdict that rejects without a reason': () => ({ approved: [], rejected: [{}] }),
  'answers a verdict that approves NaN': () => {
    const [change] = changeSet('t1').changes;
    const changes = [{ ...change, value: Number.NaN }];
    return { approved: [{ ...changeSet('t1'), changes }], rejected: [] };
  },
  'answers a verdict with text for atomic': () => ({ approved: [], rejected: [], atomic: 'yes' }),
  'answers change sets': () => [changeSet('t1')],
  'answers no change sets': async () => [],
  'answers change sets twice': () => [changeSet('t1'), changeSet('t1')],
  'answers a change set of another time': () => [
    { ...changeSet('t1'), hlc: { ...changeSet('t1').hlc, wallTime: 2n } },
  ],
  'answers change sets with a change more': () => [
    { ...changeSet('t1'), changes: [...changeSet('t1').changes, ...changeSet('t1', 'u').changes] },
  ],
  'answers with a trap': () => ({
    get siteId() {
      throw new Error('trap');
    },
    get approved() {
      throw new Error('trap');
    },
  }),
  'promises true, and tells it at once': () => promised((tell) => tell(true)),
  'promises with a trap': () =>
    promised(() => {
      throw new Error('trap');
    }),
  'throws at once': () => {
    throw new Error('boom');
  },
  'throws a string': () => {
    throw 'boom';
  },
  'throws nothing': () => {
    throw undefined;
  },
  rejects: () => Promise.reject(new Error('boom')),
  'throws what fetch throws': () => {
    const cause = Object.assign(new Error('boom'), { code: 'ECONNREFUSED' });
    throw new TypeError('boom', { cause });
  },
  'rejects since what it asked took too long': () =>
    Promise.reject(new DOMException('boom', 'TimeoutError')),
  'throws a SyncError': () => {
    throw new SyncError('RATE_LIMITED', 'slower, please', { retryAfterMs: 1500 });
  },
  'throws a SyncError of another copy of the package': () => {
    const error = new Error('slower, please');
    throw Object.assign(error, { name: 'SyncError', code: 'RATE_LIMITED', retryAfterMs: 1500 });
  },
  'throws what only looks like a SyncError': () => {
    throw Object.assign(new Error('x'), { name: 'SyncError', code: 'toString' });
  },
  hangs: never,
  'rejects when its time is up': rejectsLate,
} satisfies Record<string, Act>;

type ActName = keyof typeof ACTS;

/** What the caller sees, and what is counted. */
type Expected = readonly [seen: 'passes' | ErrorCode, outcome: string];

const OK: Expected = ['passes', 'ok'];
const INVALID: Expected = ['HOOK_FAILED', 'invalid'];
const ERROR: Expected = ['HOOK_FAILED', 'error'];
const TIMEOUT: Expected = ['HOOK_FAILED', 'timeout'];
const LIMITED: Expected = ['RATE_LIMITED', 'refused'];
const UNKNOWN: Expected = ['AUTH_FAILED', 'refused'];

/** Of every hook that is asked. */
const ASKED: Partial<Record<ActName, Expected>> = {
  'promises with a trap': ERROR,
  'throws at once': ERROR,
  'throws a string': ERROR,
  'throws nothing': ERROR,
  'throws what only looks like a SyncError': ERROR,
  rejects: ERROR,
  'throws what fetch throws': ERROR,
  'rejects since what it asked took too long': ERROR,
  'throws a SyncError': LIMITED,
  'throws a SyncError of another copy of the package': LIMITED,
  hangs: TIMEOUT,
  'rejects when its time is up': TIMEOUT,
};

/** Of every hook that is told. */
const TOLD: Partial<Record<ActName, Expected>> = {
  'promises with a trap': ['passes', 'error'],
  'throws at once': ['passes', 'error'],
  'throws a string': ['passes', 'error'],
  'throws nothing': ['passes', 'error'],
  'throws what only looks like a SyncError': ['passes', 'error'],
  rejects: ['passes', 'error'],
  'throws what fetch throws': ['passes', 'error'],
  'rejects since what it asked took too long': ['passes', 'error'],
  'throws a SyncError': ['passes', 'error'],
  'throws a SyncError of another copy of the package': ['passes', 'error'],
  hangs: ['passes', 'timeout'],
  'rejects when its time is up': ['passes', 'timeout'],
};

const PERMISSION: Partial<Record<ActName, Expected>> = {
  ...ASKED,
  'answers true': OK,
  'promises true, and tells it at once': OK,
  'answers false': ['NOT_AUTHORIZED', 'refused'],
};

/** What is not in the table of a hook is no answer of that hook. */
const EXPECTED: Record<HookName, Partial<Record<ActName, Expected>>> = {
  onAuthenticate: {
    ...ASKED,
    'answers undefined': OK,
    'answers null': OK,
    'answers an identity': OK,
    'promises with a trap': UNKNOWN,
    'throws at once': UNKNOWN,
    'throws a string': UNKNOWN,
    'throws nothing': UNKNOWN,
    'throws what only looks like a SyncError': UNKNOWN,
    rejects: UNKNOWN,
  },
  onAuthenticated: {
    ...ASKED,
    'answers undefined': OK,
    'answers null': OK,
    'answers an identity': OK,
    // Whatever else an object has is added.
    'answers a verdict': OK,
    'answers a verdict without rejected': OK,
    'answers a verdict that approves null': OK,
    'answers a verdict with text for changes': OK,
    'answers a verdict with a change of no type': OK,
    'answers a verdict that rejects without a reason': OK,
    'answers a verdict that approves NaN': OK,
    'answers a verdict with text for atomic': OK,
  },
  onAuthorize: PERMISSION,
  onBeforeApplyChanges: { ...ASKED, 'answers a verdict': OK },
  onAfterApplyChanges: TOLD,
  onBeforeSendChanges: { ...ASKED, 'answers change sets': OK, 'answers no change sets': OK },
  onClientConnect: PERMISSION,
  onClientHandover: TOLD,
  onClientDisconnect: TOLD,
};

function expectedOf(hook: HookName, act: string): Expected {
  const byAct: Record<string, Expected | undefined> = EXPECTED[hook];
  return byAct[act] ?? (HOOK_KINDS[hook] === 'notify' ? OK : INVALID);
}

async function seenBy(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'passes';
  } catch (error) {
    assert.ok(error instanceof SyncError);
    assert.doesNotMatch(error.message, /boom|late|trap/, 'the client learns nothing of the cause');
    if (error.code === 'RATE_LIMITED') assert.equal(error.retryAfterMs, 1500);
    return error.code;
  }
}

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown) => unhandled.push(reason);
process.on('unhandledRejection', onUnhandled);

after(async () => {
  await setImmediate();
  process.off('unhandledRejection', onUnhandled);
  assert.deepEqual(unhandled, []);
});

for (const hook of HOOK_NAMES) {
  describe(hook, () => {
    for (const [name, act] of Object.entries<Act>(ACTS)) {
      const [seen, outcome] = expectedOf(hook, name);
      const options = outcome === 'timeout' ? { timeoutMs: SHORT_MS } : {};

      it(`that ${name}: ${seen}, counted as ${outcome}`, async () => {
        const chain = testChain({ mine: untyped({ [hook]: act }) }, options);
        assert.equal(await seenBy(CALLS[hook](chain)), seen);
        assert.deepEqual(chain.outcomes, [`${hook} mine ${outcome}`]);

        const isMeant = seen === 'RATE_LIMITED' || seen === 'NOT_AUTHORIZED';
        // Strangers would flood the log; the coordinator has a line for them, which is bounded.
        const isQuiet = isMeant || hook === 'onAuthenticate';
        assert.equal(chain.errors.length, outcome === 'ok' || isQuiet ? 0 : 1);
        assert.equal(chain.logs.length, outcome !== 'ok' && isQuiet ? 1 : 0);
        for (const line of chain.errors)
          assert.match(line, new RegExp(`^mine: ${hook} ${outcome}`));
      });
    }
  });
}
