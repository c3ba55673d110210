/** Takes in what one node of several answers and pushes, over its kills, and looks that nothing is left out. */

import assert from 'node:assert/strict';
import { compareHlc } from '../../src/clock/hlc.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';

export class PushListener {
  readonly #siteId: string;
  #client: TestClient | undefined;
  /** How many messages of the connection have been looked at. */
  #read = 0;
  /** Until the answer to `get_changes`, which holds what was pushed before it as well. */
  #isAnswered = false;
  #watermark: string | undefined;
  readonly #received: string[] = [];

  constructor(site: number) {
    this.#siteId = new Device(site).siteId;
  }

  async join(wsUrl: string): Promise<void> {
    this.#client = await TestClient.join(wsUrl, { siteId: this.#siteId });
    this.#read = 0;
    this.#isAnswered = false;
    this.#client.send({ type: 'get_changes', sinceHLC: this.#watermark });
  }

  /** When its node has been killed: what it had sent counts. */
  async ended(): Promise<void> {
    await this.#client?.closed;
    this.#readOn();
    this.#client = undefined;
  }

  hangUp(): void {
    this.#client?.socket.terminate();
  }

  /** Resolves when it was sent a transaction. */
  async heardOf(transactionId: string): Promise<void> {
    await this.#client?.nextWhere(
      (message) => changeSetsOf(message).some((set) => set.transactionId === transactionId),
      transactionId,
    );
  }

  /** Everything came once, in the log's order. The log may not have been shortened. */
  check(log: readonly WireChangeSet[]): void {
    this.#readOn();
    for (const [i, { hlc }] of log.entries()) {
      assert.equal(this.#received[i], hlc, `${i} transactions came, and then not the next`);
    }
    assert.equal(this.#received.length, log.length);
  }

  #readOn(): void {
    for (const message of this.#client?.log.slice(this.#read) ?? []) {
      this.#read++;
      if (message.type === 'changes') this.#isAnswered = true;
      if (!this.#isAnswered) continue;
      for (const { hlc, changes } of changeSetsOf(message)) {
        const before = this.#watermark;
        assert.ok(!before || compareHlc(before, hlc) < 0, `${hlc} came after ${before}`);
        this.#watermark = hlc;
        if (changes.length > 0) this.#received.push(hlc);
      }
    }
  }
}

function changeSetsOf(message: ReceivedMessage): readonly WireChangeSet[] {
  const isData = message.type === 'changes' || message.type === 'push_changes';
  return isData ? (message.changeSets as WireChangeSet[]) : [];
}
