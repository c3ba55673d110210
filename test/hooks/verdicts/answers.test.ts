import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidAnswer } from '../../../src/hooks/invalid-answer.ts';
import {
  readChangeSets,
  readIdentity,
  readValidation,
  toUnreadVerdict,
} from '../../../src/hooks/verdicts/answers.ts';
import { Device } from '../../../src/testing/device.ts';
import { decodeLazily, untouchedOrigin } from '../../../src/wire/lazy-change-set.ts';
import { runAtOnce } from '../../../src/wire/steps.ts';
import { changeSet, SITE } from '../support.ts';

const wire = new Device(1).write({ pk: [1], set: { a: 1 } });

test('an identity of a class keeps what its getters say, and when it runs out', () => {
  class User {
    get siteId() {
      return SITE;
    }
    get expiresAt() {
      return 7;
    }
  }
  const { siteId, expiresAt } = { ...readIdentity(new User()) };
  assert.deepEqual({ siteId, expiresAt }, { siteId: SITE, expiresAt: 7 });
});

test('a time between two milliseconds is the earlier of them', () => {
  assert.equal(readIdentity({ siteId: SITE, expiresAt: 7.9 })?.expiresAt, 7);
});

test('a getter that answers otherwise the next time is asked once', () => {
  let asked = 0;
  const answer = {
    rejected: [],
    get approved() {
      return asked++ === 0 ? [] : [changeSet('smuggled')];
    },
  };
  assert.deepEqual(runAtOnce(readValidation(toUnreadVerdict(answer))).approved, []);
});

test('what the hook goes on to do with its answer changes nothing', () => {
  const given = changeSet('a');
  const unseen = decodeLazily(wire);
  const { approved } = runAtOnce(readValidation({ approved: [given, unseen], rejected: [] }));
  given.changes.length = 0;
  unseen.changes = [];
  assert.equal(approved[0]?.changes.length, 1);
  assert.equal(approved[1], wire);
});

test('what hides changes behind a proxy, or inherits the rest, is taken at its word', () => {
  const given = decodeLazily(wire);
  const hiding = new Proxy(given, {
    get: (set, key) => (key === 'changes' ? [] : Reflect.get(set, key)),
  });
  const heir: object = Object.create(given, { changes: { value: [] } });
  for (const answer of [hiding, heir]) {
    const [left] = runAtOnce(readChangeSets([answer]));
    assert.deepEqual(left?.changes, []);
    assert.equal(untouchedOrigin(answer), undefined);
  }
});

test('a list of nothing, as long as it can be, is refused at its first item', () => {
  const endless = new Array(2 ** 32 - 1);
  const answers: unknown[] = [
    { approved: endless, rejected: [] },
    { approved: [], rejected: endless },
    { approved: [{ ...changeSet('a'), changes: endless }], rejected: [] },
  ];
  for (const answer of answers) {
    assert.throws(() => runAtOnce(readValidation(toUnreadVerdict(answer))), InvalidAnswer);
  }
  assert.throws(() => runAtOnce(readChangeSets(endless)), InvalidAnswer);
});

test('a gap in a list is no item of it', () => {
  const sparse = [{ ...changeSet('a'), changes: new Array(1) }];
  assert.throws(() => runAtOnce(readChangeSets(sparse)), InvalidAnswer);
  assert.throws(
    () => runAtOnce(readValidation({ approved: new Array(1), rejected: [] })),
    InvalidAnswer,
  );
});
