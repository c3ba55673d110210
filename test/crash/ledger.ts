/** What devices have written and were told, held against what a server has. */

import assert from 'node:assert/strict';
import { compareHlc, hlcWallTimeMs } from '../../src/clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import type { PlainDevice } from '../support/plain-device.ts';
import { Replica } from '../support/replica.ts';
import { COLUMNS } from './load.ts';

export class Ledger {
  readonly #written: WireChangeSet[] = [];
  /** What its writer was told is stored. */
  readonly #acknowledged: WireChangeSet[] = [];
  /** What its writer was told to try again. */
  readonly #refused: WireChangeSet[] = [];
  #refusals = 0;
  #newestPosition = '';

  get acknowledged(): number {
    return this.#acknowledged.length;
  }

  get refusals(): number {
    return this.#refusals;
  }

  /** Notes the last transaction of a device, and what it is told of it. */
  async note(device: PlainDevice, verdict: Promise<unknown>): Promise<void> {
    const changeSet = device.lastWritten;
    this.#written.push(changeSet);
    try {
      await verdict;
      this.#acknowledged.push(changeSet);
    } catch (error) {
      if (!String(error).includes('STORE_UNAVAILABLE')) return;
      this.#refusals++;
      this.#refused.push(changeSet);
    }
  }

  /** Writes what was refused once more, until it is taken. */
  async writeRefused(httpUrl: string): Promise<void> {
    for (const changeSet of this.#refused.splice(0)) await this.post(httpUrl, changeSet);
  }

  async post(httpUrl: string, changeSet: WireChangeSet): Promise<void> {
    this.#written.push(changeSet);
    const headers = { 'x-site-id': changeSet.siteId, 'content-type': 'application/json' };
    const body = JSON.stringify([changeSet]);
    for (;;) {
      const response = await fetch(`${httpUrl}/changes`, { method: 'POST', headers, body });
      const text = await response.text();
      if (response.ok) break;
      assert.equal(response.status, 503, text);
    }
    this.#acknowledged.push(changeSet);
  }

  /**
   * Reads everything, as somebody who has nothing does. Nobody may be writing.
   * @returns the log
   */
  async check(httpUrl: string): Promise<WireChangeSet[]> {
    const headers = { 'x-site-id': new Device(1000).siteId };
    const { changeSets, watermark } = await readLog(httpUrl, headers);
    const positions = changeSets.map(({ hlc }) => hlc);
    for (const [i, position] of positions.entries()) {
      const before = positions[i - 1];
      assert.ok(!before || compareHlc(before, position) < 0, 'positions rise strictly');
    }
    // A database that nobody has written to is not there, and has another site id after a restart.
    const isMade = this.#newestPosition !== '' && hlcWallTimeMs(this.#newestPosition) > 0;
    assert.ok(
      !isMade || compareHlc(this.#newestPosition, watermark) <= 0,
      `the newest position went back from ${this.#newestPosition} to ${watermark}`,
    );
    this.#newestPosition = watermark;
    const fromLog = new Replica();
    fromLog.apply(changeSets);
    const fromSnapshot = new Replica();
    const snapshot = await (await fetch(`${httpUrl}/snapshot`, { headers })).text();
    fromSnapshot.load(
      snapshot
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    );
    assert.deepEqual(fromLog.contents(), fromSnapshot.contents(), 'the log and the rows agree');
    this.#checkAcknowledged(fromSnapshot);
    for (const [key, row] of Object.entries(fromSnapshot.contents())) {
      const values = COLUMNS.map((column) => row[column]);
      assert.ok(new Set(values).size === 1, `half a transaction at ${key}: ${JSON.stringify(row)}`);
    }
    return changeSets;
  }

  #checkAcknowledged(stored: Replica): void {
    const everything = new Replica();
    everything.apply(this.#written);
    const isThere = (change: WireChange) =>
      change.type === 'delete'
        ? !stored.holdsOlder(change)
        : stored.knows(change) || everything.isDeletedAfter(change);
    for (const { transactionId, changes } of this.#acknowledged) {
      assert.ok(changes.every(isThere), `acknowledged and lost: ${transactionId}`);
    }
  }
}

async function readLog(url: string, headers: Record<string, string>) {
  const changeSets: WireChangeSet[] = [];
  let watermark = '';
  for (;;) {
    const query = watermark === '' ? '' : `?sinceHLC=${encodeURIComponent(watermark)}`;
    const response = await fetch(`${url}/changes${query}`, { headers });
    const body = (await response.json()) as {
      ok: boolean;
      data: { changes: WireChangeSet[]; hasMore: boolean; watermark: string };
    };
    assert.ok(body.ok, JSON.stringify(body));
    changeSets.push(...body.data.changes.filter(({ changes }) => changes.length > 0));
    watermark = body.data.watermark;
    if (!body.data.hasMore) return { changeSets, watermark };
  }
}
