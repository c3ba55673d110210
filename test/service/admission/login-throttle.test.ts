import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoginThrottle, toAttempt } from '../../../src/service/admission/login-throttle.ts';

interface Shown {
  token?: string;
  cookie?: string;
}

/** All come from one address. */
const attemptWith = ({ token, cookie }: Shown) =>
  toAttempt({ remoteAddress: '192.0.2.1', headers: cookie === undefined ? {} : { cookie }, token });

async function letIn(throttle: LoginThrottle, shown: Shown, userId?: string) {
  const login = await throttle.begin(attemptWith(shown));
  login.succeeded(userId);
}

async function failTwice(throttle: LoginThrottle) {
  for (const token of ['guess', 'other guess']) {
    const login = await throttle.begin(attemptWith({ token }));
    login.failed();
  }
}

const isHeard = (throttle: LoginThrottle, shown: Shown) =>
  throttle.begin(attemptWith(shown)).then(
    (login) => {
      login.gaveUp();
      return true;
    },
    () => false,
  );

const ann = { token: 'ann' };
const eve = (i: number) => ({ token: 'eve', cookie: `c=${i}` });

test('who shows good credentials under ever other cookies drives out only its own', async () => {
  for (const isNamed of [true, false]) {
    const throttle = new LoginThrottle(2, () => 0);
    await letIn(throttle, ann, isNamed ? 'ann' : undefined);
    for (let i = 0; i < 10_100; i++) await letIn(throttle, eve(i), isNamed ? 'eve' : undefined);
    await failTwice(throttle);
    assert.equal(await isHeard(throttle, ann), true, `named: ${isNamed}`);
    assert.equal(await isHeard(throttle, eve(10_099)), true);
    assert.equal(await isHeard(throttle, eve(9_000)), false);
  }
});

test('nor do many users together that have many each', async () => {
  const throttle = new LoginThrottle(2, () => 0);
  await letIn(throttle, ann, 'ann');
  for (let i = 0; i < 15_000; i++) await letIn(throttle, eve(i), `eve ${i % 150}`);
  await failTwice(throttle);
  assert.equal(await isHeard(throttle, ann), true);
});

test('many devices behind one address are all known, where hooks name no user', async () => {
  const throttle = new LoginThrottle(2, () => 0);
  for (let i = 0; i < 12_000; i++) await letIn(throttle, { token: `device ${i}` });
  await failTwice(throttle);
  for (const i of [2_000, 11_999]) {
    assert.equal(await isHeard(throttle, { token: `device ${i}` }), true, `${i}`);
  }
});
