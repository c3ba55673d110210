/**
 * The client, fed with messages that a server has sent before: so nothing is measured but the client.
 * Runs in Node and in a browser.
 */

import {
  createSyncClient,
  type SyncClient,
  type SyncClientOptions,
} from '@sync-coordinator/client';
import { globalsAs } from '../../packages/client/src/globals.ts';

/** What a server sent to a device that has shaken hands, and asked for a snapshot. */
export interface Recording {
  ack: string;
  snapshot: string[];
}

type Store = SyncClientOptions['store'];
type Socket = NonNullable<SyncClientOptions['WebSocket']>;

/** What both have, and only the types of a browser know whole. */
const { MessageChannel } = globalsAs<{
  MessageChannel: new () => Record<
    'port1' | 'port2',
    { onmessage: () => void; postMessage(data: unknown): void; close(): void }
  >;
}>();

/** Each message is a turn of the loop of its own, as those of a socket are. */
function nextTurn(run: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    run();
  };
  port2.postMessage(undefined);
}

interface Replay {
  Socket: Socket;
  /** Sends a message of the server. */
  say(text: string): void;
}

function replay({ ack, snapshot }: Recording): Replay {
  const out = {
    say: (_: string) => {},
  };
  class ReplaySocket {
    onopen: (() => void) | null = null;
    onmessage: ((event: { data: unknown }) => void) | null = null;
    onclose = null;
    onerror = null;

    constructor() {
      out.say = (text) => this.onmessage?.({ data: text });
      nextTurn(() => this.onopen?.());
    }

    send(text: string): void {
      const { type, requestId } = JSON.parse(text);
      if (type === 'handshake') this.#answer([ack]);
      else if (type === 'get_snapshot') {
        this.#answer([...snapshot, JSON.stringify({ type: 'snapshot_complete', requestId })]);
      } else if (type === 'get_changes') {
        const answer = { type: 'changes', changeSets: [], hasMore: false, requestId };
        this.#answer([JSON.stringify(answer)]);
      }
    }

    #answer(texts: readonly string[], from = 0): void {
      const text = texts[from];
      if (text === undefined) return;
      nextTurn(() => {
        this.onmessage?.({ data: text });
        this.#answer(texts, from + 1);
      });
    }

    close(): void {}
  }
  return { Socket: ReplaySocket, say: (text) => out.say(text) };
}

function untilLive(client: SyncClient): Promise<void> {
  return new Promise((resolve) => {
    const end = client.subscribeStatus(() => {
      if (client.status.connection !== 'live') return;
      end();
      resolve();
    });
  });
}

/** @returns milliseconds until a new replica has everything */
export async function bootstrap(recording: Recording, store: Store): Promise<number> {
  const { Socket: WebSocket } = replay(recording);
  const startedAt = performance.now();
  const client = createSyncClient({ url: 'ws://replay', store, WebSocket });
  await untilLive(client);
  const elapsedMs = performance.now() - startedAt;
  await client.close();
  return elapsedMs;
}

/** @returns milliseconds that parsing the same messages takes */
export async function parse({ ack, snapshot }: Recording): Promise<number> {
  const startedAt = performance.now();
  let messages = 0;
  await new Promise<void>((resolve) => {
    const texts = [ack, ...snapshot];
    const next = (i: number) => {
      const text = texts[i];
      if (text === undefined) return resolve();
      // Used, so that it can't be left out.
      if (JSON.parse(text).type !== undefined) messages++;
      nextTurn(() => next(i + 1));
    };
    next(0);
  });
  if (messages === 0) throw new Error('there was nothing to parse');
  return performance.now() - startedAt;
}

/** @returns writes a second, each of one cell, until all are stored */
export async function write(store: Store, writes: number): Promise<number> {
  const client = createSyncClient({ url: 'ws://replay', store, connect: false });
  await client.ready;
  const table = 'tasks';
  const startedAt = performance.now();
  let durable: Promise<unknown> = Promise.resolve();
  for (let i = 0; i < writes; i++) {
    durable = client.transact((tx) => tx.table(table).set([i], { title: 'Buy milk' })).durable;
  }
  await durable;
  const perSecond = (writes * 1000) / (performance.now() - startedAt);
  await client.close();
  return perSecond;
}

/** @returns for each push of a change, milliseconds until a subscriber of its table is told */
export async function push(
  recording: Recording,
  pushes: readonly string[],
  store: Store,
): Promise<number[]> {
  const { Socket: WebSocket, say } = replay(recording);
  const client = createSyncClient({ url: 'ws://replay', store, WebSocket });
  await untilLive(client);
  const elapsed: number[] = [];
  let startedAt = 0;
  let told = () => {};
  client.table('tasks').subscribe(() => {
    elapsed.push(performance.now() - startedAt);
    told();
  });
  for (const text of pushes) {
    const done = new Promise<void>((resolve) => {
      told = resolve;
    });
    startedAt = performance.now();
    say(text);
    await done;
  }
  await client.close();
  return elapsed;
}
