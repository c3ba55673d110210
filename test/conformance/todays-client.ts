/**
 * A model of the clients in use today, as far as pushing goes: what they received they hold
 * like their own, they push one batch of at most 1,000 changes of all that they hold and
 * then wait for the next local edit, and they answer `request_changes` with one batch more.
 */

import { compareHlc, type HlcText } from '../../src/clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../../src/protocol/schemas.ts';
import type { Device } from '../../src/testing/device.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';
import { cellsIn, tombstonesIn } from './look.ts';
import type { Chunk } from './transport.ts';

const BATCH_CHANGES_MAX = 1000;

export class TodaysClient {
  readonly socket: TestClient;
  /** Batches that it sent, each with what it was asked for, if it was. */
  readonly pushes: { changeSets: WireChangeSet[]; askedAfter?: HlcText }[] = [];
  readonly results: ReceivedMessage[] = [];
  /** Times that the server asked. */
  questions = 0;
  #held: WireChangeSet[] = [];
  #requests = 0;
  #onEvent = () => {};

  private constructor(socket: TestClient) {
    this.socket = socket;
    socket.socket.on('message', (data) => {
      const message: ReceivedMessage = JSON.parse(data.toString());
      if (message.type === 'request_changes') this.#answer(message.sinceHLC as HlcText | undefined);
      if (message.type === 'apply_result') this.results.push(message);
      this.#onEvent();
    });
  }

  static async join(
    url: string,
    device: Device,
    t: { after(fn: () => void): void },
  ): Promise<TodaysClient> {
    return new TodaysClient(await TestClient.join(url, device, t));
  }

  /** Edits made without a connection, or before it is used. */
  hold(...changeSets: WireChangeSet[]): void {
    this.#held = [...this.#held, ...changeSets].sort((a, b) => compareHlc(a.hlc, b.hlc));
  }

  /** Takes in a snapshot, and holds its cells and tombstones as if it had always had them. */
  async bootstrap(): Promise<void> {
    const chunks = (await this.socket.snapshot()) as Chunk[];
    const changes: WireChange[] = [
      ...cellsIn(chunks).map((cell) => ({ type: 'column' as const, ...cell })),
      ...tombstonesIn(chunks).map(({ createdAt: _, ...gone }) => ({
        type: 'delete' as const,
        ...gone,
      })),
    ];
    const byTransaction = new Map<string, WireChangeSet>();
    for (const change of changes) {
      const id = change.hlc.slice(0, 34);
      const siteId = Buffer.from(change.hlc, 'base64').toString('base64url', 10, 26);
      const known = byTransaction.get(id);
      const changeSet = known ?? {
        siteId,
        transactionId: id,
        hlc: '',
        changes: [],
        schemaMigrations: [],
      };
      changeSet.changes.push(change);
      if (changeSet.hlc === '' || compareHlc(change.hlc, changeSet.hlc) > 0)
        changeSet.hlc = change.hlc;
      byTransaction.set(id, changeSet);
    }
    this.hold(...byTransaction.values());
  }

  /** What a local edit makes it do: push the oldest batch of all that it holds. */
  push(): void {
    const changeSets = this.#batchAfter(undefined);
    this.pushes.push({ changeSets });
    const requestId = `apply-${++this.#requests}`;
    this.socket.send({ type: 'apply_changes', changes: changeSets, requestId });
  }

  #answer(sinceHLC: HlcText | undefined): void {
    this.questions++;
    const changeSets = this.#batchAfter(sinceHLC);
    if (changeSets.length === 0) return;
    this.pushes.push({ changeSets, askedAfter: sinceHLC });
    this.socket.send({ type: 'apply_changes', changes: changeSets });
  }

  #batchAfter(sinceHLC: HlcText | undefined): WireChangeSet[] {
    const after = (hlc: HlcText) => sinceHLC === undefined || compareHlc(hlc, sinceHLC) > 0;
    const batch: WireChangeSet[] = [];
    let count = 0;
    for (const changeSet of this.#held) {
      if (!after(changeSet.hlc)) continue;
      const { changes, schemaMigrations } = changeSet;
      count += changes.length + schemaMigrations.length;
      if (count > BATCH_CHANGES_MAX && batch.length > 0) break;
      batch.push(changeSet);
    }
    return batch;
  }

  /** Resolves when every push has its result and the server has nothing more to ask. */
  async quiet(): Promise<void> {
    for (;;) {
      while (this.results.length < this.pushes.length) {
        await new Promise<void>((resolve) => {
          this.#onEvent = resolve;
        });
      }
      const asked = this.questions;
      // A question follows its result at once, so it has come before this answer.
      await this.socket.settled();
      if (this.questions === asked && this.results.length === this.pushes.length) return;
    }
  }
}
