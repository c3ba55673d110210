import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ConnectionEvent, ConnectionStates } from '../../src/sessions/connection-state.ts';

function after(...events: ConnectionEvent[]): ConnectionStates {
  const states = new ConnectionStates();
  for (const event of events) states.on(event);
  return states;
}

test('who has no handshake yet may ping and shake hands, and nothing else', () => {
  const states = after();
  assert.equal(states.receptionOf('ping'), 'take');
  assert.equal(states.receptionOf('handshake'), 'take');
  assert.equal(states.receptionOf('apply_changes'), 'NOT_AUTHENTICATED');
  assert.equal(states.receptionOf('authenticate'), 'NOT_AUTHENTICATED');
});

test('a session takes everything but a second handshake', () => {
  const states = after('handshake', 'admitted');
  assert.equal(states.now, 'joined');
  assert.equal(states.receptionOf('resume_snapshot'), 'take');
  assert.equal(states.receptionOf('authenticate'), 'take');
  assert.equal(states.receptionOf('handshake'), 'ALREADY_AUTHENTICATED');
});

test('what was ended or has closed is neither admitted any more nor listened to', () => {
  for (const end of ['ended', 'closed'] as const) {
    const states = after('handshake', end);
    assert.equal(states.on('admitted'), false, end);
    assert.equal(states.receptionOf('handshake'), 'ignore');
    assert.equal(states.receptionOf('apply_changes'), 'ignore');
  }
  assert.equal(after('handshake', 'admitted', 'ended').receptionOf('get_changes'), 'ignore');
  assert.equal(after('ended', 'closed').now, 'closed');
});

test('only a handshake leads to a session', () => {
  assert.equal(after('admitted').now, 'new');
  assert.equal(after('handshake', 'handshake').now, 'joining');
});
