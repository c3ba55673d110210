import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoginThrottle } from '../../../src/service/admission/login-throttle.ts';

const SOURCE = '192.0.2.1';

async function letIn(throttle: LoginThrottle, credentials: string, user: string) {
  const login = await throttle.begin({ source: SOURCE, credentials });
  login.succeeded(user);
}

async function failTwice(throttle: LoginThrottle) {
  for (const credentials of ['guess', 'other guess']) {
    const login = await throttle.begin({ source: SOURCE, credentials });
    login.failed();
  }
}

const isHeard = (throttle: LoginThrottle, credentials: string) =>
  throttle.begin({ source: SOURCE, credentials }).then(
    (login) => {
      login.gaveUp();
      return true;
    },
    () => false,
  );

test('who shows good credentials under ever other cookies drives out only its own', async () => {
  const throttle = new LoginThrottle(2, () => 0);
  await letIn(throttle, 'honest', 'user ann');
  for (let i = 0; i < 10_100; i++) await letIn(throttle, `eve ${i}`, 'user eve');
  await failTwice(throttle);
  assert.equal(await isHeard(throttle, 'honest'), true);
  assert.equal(await isHeard(throttle, 'eve 10099'), true);
  assert.equal(await isHeard(throttle, 'eve 9000'), false);
});

test('nor do many users together that have many each', async () => {
  const throttle = new LoginThrottle(2, () => 0);
  await letIn(throttle, 'honest', 'user ann');
  for (let i = 0; i < 15_000; i++) await letIn(throttle, `eve ${i}`, `user eve ${i % 150}`);
  await failTwice(throttle);
  assert.equal(await isHeard(throttle, 'honest'), true);
});
