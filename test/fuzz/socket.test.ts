import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isErrorCode } from '../../src/protocol/error-codes.ts';
import { Device } from '../../src/testing/device.ts';
import { type ChangeSetsMessage, TestClient } from '../../src/testing/test-client.ts';
import { holdsAsync } from '../support/runs.ts';
import { startServer } from '../support/server.ts';
import { anyJson, anyText, mutatedMessage, toText, wellFormed } from './garbage.ts';

/** A handshake of another version ends a connection, as it should: none of those here. */
function isHandshake(value: unknown): boolean {
  return Object(value).type === 'handshake' && Object.hasOwn(Object(value), 'protocolVersion');
}

const word: fc.Arbitrary<string | Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: mutatedMessage.filter((m) => !isHandshake(m)).map(toText) },
  { weight: 2, arbitrary: anyText.map(wellFormed) },
  { weight: 1, arbitrary: anyJson.map(toText) },
  { weight: 1, arbitrary: fc.uint8Array() },
);

test('after any words the session answers, stores what is good, and others do not notice', async (t) => {
  const server = await startServer(t, {
    config: { storage: 'memory:', sync: { foreignAuthors: 'accept' } },
  });
  const [a, b] = [new Device(1), new Device(2)];
  const talker = await TestClient.join(server.wsUrl, a, t);
  const listener = await TestClient.join(server.wsUrl, b, t);
  let round = 0;
  await holdsAsync(
    fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 12 }), async (words) => {
      for (const each of words) talker.socket.send(each);
      await talker.settled();
      const good = a.write({ table: `round ${++round}`, pk: [round], set: { x: round } });
      const answer = await talker.apply(good);
      assert.deepEqual([answer.type, answer.applied], ['apply_result', 1]);
      await listener.nextWhere((message) => {
        const { changeSets = [] } = message as Partial<ChangeSetsMessage>;
        return changeSets.some(({ transactionId }) => transactionId === good.transactionId);
      });
      const errors = talker.log.filter(({ type }) => type === 'error');
      for (const { code, message } of errors) {
        assert.ok(isErrorCode(code), String(code));
        assert.notEqual(code, 'INTERNAL_ERROR');
        assert.ok(typeof message === 'string' && message.length < 5000);
      }
      talker.log.length = 0;
      talker.received.length = 0;
      listener.received.length = 0;
    }),
    24,
    { endOnFailure: true },
  );
  assert.deepEqual(
    listener.log.filter(({ type }) => type === 'error'),
    [],
  );
  assert.equal(server.service.status().connectedClients, 2);
});

test('whatever is said before a handshake, the server lives and the next one is let in', async (t) => {
  const server = await startServer(t, {
    config: { storage: 'memory:', sync: { foreignAuthors: 'accept' } },
  });
  const { siteId } = new Device(1);
  const first = await TestClient.join(server.wsUrl, { siteId }, t);
  await holdsAsync(
    fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 8 }), async (words) => {
      const client = await TestClient.open(server.wsUrl);
      for (const each of words) client.socket.send(each);
      client.send({ type: 'ping' });
      await Promise.race([client.next('pong').catch(() => undefined), client.closed]);
      client.socket.terminate();
      await first.settled();
    }),
    16,
    { endOnFailure: true },
  );
  const last = await TestClient.join(server.wsUrl, { siteId }, t);
  await last.settled();
});
