/** Sessions of clients in use today, recorded once, and the same clients' words said again. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';

export interface CaptureLine {
  client: string;
  from: 'client' | 'server';
  message: ReceivedMessage;
}

export const CAPTURE_NAMES = [
  'a1-live-crud',
  'a2-merge-columns',
  'c-offline-rejoin',
  'h1-schema-live',
  'h4-snapshot-after-drop',
  'i1-delete-reinsert',
] as const;

export type CaptureName = (typeof CAPTURE_NAMES)[number];

/** A moment after the last capture was made. The server must not find its edits too far ahead. */
export const CAPTURED_BY_MS = 1_795_384_400_000;

export function readCapture(name: CaptureName): CaptureLine[] {
  const url = new URL(`../vectors/captures/${name}.jsonl`, import.meta.url);
  const lines = readFileSync(fileURLToPath(url), 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
}

/** The last message with which the server answers each of a client's. */
const ANSWERS: Record<string, string> = {
  handshake: 'handshake_ack',
  get_snapshot: 'snapshot_complete',
  get_changes: 'changes',
  apply_changes: 'apply_result',
};

export interface Replay {
  databaseId: string;
  /** What the server said to each client, over all its sockets. */
  messages: Map<string, ReceivedMessage[]>;
  /** The sockets that are open at the end. */
  clients: Map<string, TestClient>;
}

/** Says a capture's clients' words to a server. What one client said in a row goes in a row. */
export async function replay(
  t: TestContext,
  wsUrl: string,
  lines: readonly CaptureLine[],
): Promise<Replay> {
  const messages = new Map<string, ReceivedMessage[]>();
  const clients = new Map<string, TestClient>();
  let databaseId = 'default';
  let speaker = '';
  let answers: Promise<ReceivedMessage>[] = [];
  for (const { client: name, from, message } of lines) {
    if (from === 'server') continue;
    if (name !== speaker || message.type === 'handshake') {
      await Promise.all(answers);
      answers = [];
      speaker = name;
    }
    if (message.type === 'handshake') {
      databaseId = String(message.databaseId);
      await clients.get(name)?.close();
      const client = await TestClient.open(wsUrl);
      t.after(() => client.socket.terminate());
      const heard = messages.get(name) ?? [];
      messages.set(name, heard);
      client.socket.on('message', (data) => heard.push(JSON.parse(data.toString())));
      clients.set(name, client);
    }
    const client = clients.get(name);
    const answer = ANSWERS[message.type];
    assert.ok(client && answer, `${name} says ${message.type}`);
    client.send(message);
    answers.push(client.next(answer));
  }
  await Promise.all(answers);
  await Promise.all([...clients.values()].map((client) => client.settled()));
  // The pings were ours, not theirs.
  for (const [name, heard] of messages) {
    messages.set(
      name,
      heard.filter(({ type }) => type !== 'pong'),
    );
  }
  return { databaseId, messages, clients };
}

/** All change sets that a capture's clients sent, in order. */
export function sentChangeSets(lines: readonly CaptureLine[]): WireChangeSet[] {
  return lines
    .filter(({ message }) => message.type === 'apply_changes')
    .flatMap(({ message }) => message.changes as WireChangeSet[]);
}

/** What messages have had added since the captures were made: clients ignore what they don't know. */
const ADDED: Record<string, readonly string[]> = {
  handshake_ack: ['serverTimeMs'],
  changes: ['hasMore'],
  apply_result: ['conflicting', 'standing', 'elsewhere'],
};

/**
 * The keys of a message and of what it holds, as texts such as `changes: changeSets, type`;
 * of change sets only what is not empty says anything.
 */
export function shapesOf(message: ReceivedMessage): string[] {
  const shape = (name: string, value: unknown) => {
    const known = Object.keys(Object(value)).filter((key) => !ADDED[name]?.includes(key));
    return `${name}: ${known.sort().join(', ')}`;
  };
  const shapes = [shape(message.type, message)];
  const chunk = message.chunk as ReceivedMessage | undefined;
  if (chunk !== undefined) {
    shapes.push(shape(chunk.type, chunk));
    if (chunk.type === 'schema-migration') shapes.push(shape('migration', chunk.migration));
    if (chunk.type === 'column-versions') {
      shapes.push(...(chunk.entries as object[]).map((entry) => shape('cell', entry)));
    }
  }
  for (const changeSet of (message.changeSets ?? []) as WireChangeSet[]) {
    shapes.push(shape('change set', changeSet));
    for (const change of changeSet.changes) {
      const { priorValue: _v, priorHlc: _h, ...rest } = { priorValue: 0, priorHlc: '', ...change };
      const { priorRow: _r, ...bare } = { priorRow: [], ...rest };
      shapes.push(shape(change.type, bare));
    }
    shapes.push(...changeSet.schemaMigrations.map((m) => shape(m.type, m)));
  }
  return [...new Set(shapes)];
}
