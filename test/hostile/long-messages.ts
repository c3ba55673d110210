/** Messages within the default limits that are much work to read, to refuse, or to store. */

import assert from 'node:assert/strict';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import type { Attack, AttackContext } from './scenarios.ts';

/** The default of `limits.messageBytes`: what is longer would be refused unread. */
const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
/** Of what is repeated in one; the rest is around it. */
const MESSAGE_BYTES = MESSAGE_BYTES_MAX - 1000;

interface LongMessage {
  text: string;
  /** What it is answered with: an error's code, or its being applied. */
  answer: RegExp;
}

function* longMessages(scale: number): Generator<LongMessage> {
  const device = new Device(100);
  const bytes = MESSAGE_BYTES * scale;
  const count = 100_000 * scale;
  const many = (one: string) => one.repeat(Math.floor(bytes / Buffer.byteLength(one)));
  const apply = (changes: string) => `{"type":"apply_changes","changes":[${changes}]}`;
  const inSet = (changes: string) =>
    apply(JSON.stringify({ ...device.write(), changes: ['@'] }).replace('"@"', changes));
  const write = (change: string) =>
    inSet(change.replace('@hlc', device.hlc(device.wallTime)).replace('{', '{"type":"column",'));
  const cell = (pk: string, value: string) =>
    write(`{"schema":"main","table":"t","column":"c","hlc":"@hlc","pk":${pk},"value":${value}}`);
  const names = Array.from({ length: 250_000 * scale }, (_, i) => `"name ${i}":1`).join(',');
  const rows = Array.from({ length: count }, (_, i) => ({ pk: [i], set: { a: i } }));
  const any = /./;
  const refused = /^(MESSAGE_ERROR|TOO_LARGE|UNKNOWN_MESSAGE)$/;
  yield { text: apply(`${many('{},')}{}`), answer: refused };
  yield { text: inSet(`${many('{},')}{}`), answer: refused };
  yield { text: many('['), answer: refused };
  yield { text: `{"type":"x","x":[${many('1,')}1]}`, answer: refused };
  yield { text: JSON.stringify({ type: 'x', x: many('x') }), answer: refused };
  for (const long of [
    `"${many('x')}"`,
    `"${many('é€')}"`,
    `0.${many('7')}`,
    `{"${many('k')}":1}`,
  ]) {
    yield { text: cell('[1]', long), answer: scale < 1 ? any : refused };
    yield { text: cell(`[${long}]`, '1'), answer: scale < 1 ? any : refused };
  }
  yield { text: cell(`[${'7,'.repeat(240_000 * scale)}7]`, '1'), answer: refused };
  yield { text: cell('[1]', `{${names}}`), answer: scale < 1 ? any : refused };
  yield { text: cell('[2]', `"${'é€'.repeat((1_600_000 * scale) / 2)}"`), answer: any };
  const columns = Object.fromEntries(rows.map((_, i) => [`column ${i}`, i]));
  const wide = device.write({ pk: [3], set: columns });
  yield { text: apply(JSON.stringify(wide)), answer: scale < 1 ? any : refused };
  const set = device.write(...rows);
  yield { text: apply(JSON.stringify({ ...set, siteId: 'x' })), answer: refused };
  yield { text: apply(JSON.stringify(set)), answer: /^applied$/ };
  const sets = rows.map((row) => JSON.stringify(device.write(row)));
  yield { text: apply(sets.join(',')), answer: /^applied$/ };
}

export async function sendLongMessages({ server, owner, scale }: AttackContext): Promise<Attack> {
  const client = await TestClient.join(server.wsUrl, new Device(100), owner);
  const send = async () => {
    let count = 0;
    for (const { text, answer } of longMessages(scale)) {
      assert.ok(Buffer.byteLength(text) <= MESSAGE_BYTES_MAX, text.slice(0, 100));
      client.socket.send(text);
      const { type, code } = await client.nextWhere(
        (message) => message.type === 'apply_result' || message.type === 'error',
      );
      assert.match(type === 'error' ? String(code) : 'applied', answer);
      count++;
    }
    return count;
  };
  const sent = send();
  return { ended: async () => `${await sent} messages answered` };
}
