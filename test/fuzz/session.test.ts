import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareHlc } from '../../src/clock/hlc.ts';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import {
  type ChangeSetsMessage,
  type ReceivedMessage,
  TestClient,
} from '../../src/testing/test-client.ts';
import { Replica } from '../support/replica.ts';
import { holdsAsync } from '../support/runs.ts';
import { startServer } from '../support/server.ts';
import {
  type Answer,
  BAD_TOKEN,
  CHANGES_MAX,
  createModel,
  type Model,
  type Step,
} from './session-model.ts';
import { type PlannedStep, plannedStep, STEPS } from './session-steps.ts';

/** A device's socket, and what it made of what it heard. */
interface Line {
  client: TestClient | undefined;
  /** How much of the client's log has been taken in. */
  heard: number;
  replica: Replica;
  lastPush: string | undefined;
  received: Set<string>;
  /** What others wrote while it was joined. */
  due: Set<string>;
}

interface Real {
  wsUrl: string;
  databaseId: string;
  lines: Line[];
}

const isAside = ({ type }: ReceivedMessage) =>
  ['push_changes', 'request_changes', 'snapshot_chunk'].includes(type);

function lineOf(real: Real, seat: number): Line {
  const line = real.lines[seat];
  assert.ok(line);
  return line;
}

function seatOf(model: Model, seat: number) {
  const found = model.seats[seat];
  assert.ok(found);
  return found;
}

/** One line each, in one order: errors and answers of different kinds may overtake each other. */
function toLines(answers: readonly (Answer | ReceivedMessage)[]): string[] {
  return answers
    .map(({ type, code, fatal, requestId }) => JSON.stringify({ type, code, fatal, requestId }))
    .sort();
}

/** Takes in what came: merges it, and checks what is promised of every message. */
function hear(model: Model, real: Real, seat: number): void {
  const line = lineOf(real, seat);
  const { device } = seatOf(model, seat);
  for (const message of line.client?.log.slice(line.heard) ?? []) {
    line.heard++;
    if (message.type === 'snapshot_chunk') {
      const chunk = Object(message.chunk);
      line.replica.load([chunk]);
      if (chunk.type === 'header') noteHeader(seatOf(model, seat), chunk);
    }
    if (message.type !== 'changes' && message.type !== 'push_changes') continue;
    const { changeSets } = message as ChangeSetsMessage;
    line.replica.apply(changeSets);
    for (const { siteId, changes, transactionId, hlc } of changeSets) {
      assert.ok(siteId !== device.siteId || changes.length === 0, 'nobody gets its own back');
      line.received.add(transactionId);
      if (message.type === 'changes') seatOf(model, seat).watermark = hlc;
      else {
        const isNext = line.lastPush === undefined || compareHlc(line.lastPush, hlc) < 0;
        assert.ok(isNext, 'pushes rise');
        line.lastPush = hlc;
      }
    }
    const positions = changeSets.map(({ hlc }) => hlc);
    assert.deepEqual(positions, positions.toSorted(compareHlc), 'in the order of positions');
  }
}

function noteHeader(seat: Model['seats'][number], header: Record<string, unknown>): void {
  const { snapshotId, hlc } = header;
  const place = { lastTableIndex: 0, lastEntryIndex: 0, completedTables: [], entriesProcessed: 0 };
  seat.checkpoint = { snapshotId, hlc, siteId: seat.device.siteId, ...place, createdAt: 1 };
}

function say(client: TestClient, { message }: Step): void {
  const isRaw = typeof message === 'string' || message instanceof Uint8Array;
  client.socket.send(isRaw ? message : JSON.stringify(message));
}

/** Everybody who is there has heard all that was to be heard, and holds it. */
async function settle(model: Model, real: Real): Promise<void> {
  for (const [i, { state }] of model.seats.entries()) {
    const line = lineOf(real, i);
    if (state !== 'away') await line.client?.settled();
    hear(model, real, i);
    if (state !== 'joined') continue;
    for (const due of line.due) assert.ok(line.received.has(due), `a push is missing: ${due}`);
  }
}

function accept(model: Model, real: Real, author: number, changeSet: WireChangeSet): void {
  model.stored.apply([changeSet]);
  seatOf(model, author).acknowledged.push(changeSet);
  lineOf(real, author).replica.apply([changeSet]);
}

class Connect implements fc.AsyncCommand<Model, Real> {
  readonly #seat: number;

  constructor(seat: number) {
    this.#seat = seat;
  }

  check(model: Readonly<Model>): boolean {
    return model.seats[this.#seat]?.state === 'away';
  }

  async run(model: Model, real: Real): Promise<void> {
    const line = lineOf(real, this.#seat);
    line.client = await TestClient.open(real.wsUrl);
    Object.assign(line, { heard: 0, lastPush: undefined, due: new Set(), received: new Set() });
    seatOf(model, this.#seat).state = 'new';
  }

  toString(): string {
    return `device ${this.#seat} connects`;
  }
}

class Leave implements fc.AsyncCommand<Model, Real> {
  readonly #seat: number;

  constructor(seat: number) {
    this.#seat = seat;
  }

  check(model: Readonly<Model>): boolean {
    return model.seats[this.#seat]?.state !== 'away';
  }

  async run(model: Model, real: Real): Promise<void> {
    const line = lineOf(real, this.#seat);
    await line.client?.close();
    hear(model, real, this.#seat);
    seatOf(model, this.#seat).state = 'away';
  }

  toString(): string {
    return `device ${this.#seat} leaves`;
  }
}

/** Several messages at once, without waiting for what is said to them. */
class Say implements fc.AsyncCommand<Model, Real> {
  readonly #seat: number;
  readonly #planned: readonly PlannedStep[];

  constructor(seat: number, planned: readonly PlannedStep[]) {
    this.#seat = seat;
    this.#planned = planned;
  }

  check(model: Readonly<Model>): boolean {
    return model.seats[this.#seat]?.state !== 'away';
  }

  async run(model: Model, real: Real): Promise<void> {
    const seat = seatOf(model, this.#seat);
    const line = lineOf(real, this.#seat);
    const { client } = line;
    assert.ok(client);
    const steps: Step[] = [];
    for (const { what, ...choice } of this.#planned) {
      const step = STEPS[what]?.(seat, choice, real.databaseId);
      if (step === undefined) continue;
      steps.push(step);
      // What comes after is not read any more.
      if (step.close !== undefined) break;
    }
    const others = model.seats.flatMap(({ state }, i) =>
      state === 'joined' && i !== this.#seat ? [i] : [],
    );
    const answers = await this.#answers(client, steps);
    if (steps.at(-1)?.close !== undefined) seat.state = 'away';
    assert.deepEqual(toLines(answers), toLines(steps.map(({ answer }) => answer)));
    assert.deepEqual(
      client.received.filter((message) => !isAside(message)),
      [],
    );
    this.#checkOrder(steps, answers);
    const isNew = (changeSet: WireChangeSet) => !seat.acknowledged.includes(changeSet);
    const results = answers.filter(({ type }) => type === 'apply_result');
    for (const [i, step] of steps.filter(({ accepted }) => accepted !== undefined).entries()) {
      const { accepted } = step;
      const { applied, skipped, conflicts }: Record<string, unknown> = { ...results[i] };
      if (accepted === undefined) continue;
      assert.equal(Number(applied) + Number(skipped) + Number(conflicts), accepted.changes.length);
      if (step.isRepeated) assert.equal(applied, 0, 'what is known is not applied again');
      if (isNew(accepted)) accept(model, real, this.#seat, accepted);
      if (Number(applied) === 0) continue;
      for (const other of others) lineOf(real, other).due.add(accepted.transactionId);
    }
    await settle(model, real);
  }

  /** What ends the connection is said last: an answer that is under way then may not get through. */
  async #answers(client: TestClient, steps: readonly Step[]): Promise<ReceivedMessage[]> {
    const next = () => client.nextWhere((message) => !isAside(message), this.toString());
    const going = steps.filter(({ close }) => close === undefined);
    for (const step of going) say(client, step);
    const answers: ReceivedMessage[] = [];
    while (answers.length < going.length) answers.push(await next());
    await client.settled();
    for (const step of steps.filter(({ close }) => close !== undefined)) {
      say(client, step);
      answers.push(await next());
      assert.equal((await client.closed).code, step.close);
    }
    return answers;
  }

  /** Answers of one kind come in the order in which they were asked for. */
  #checkOrder(steps: readonly Step[], answers: readonly ReceivedMessage[]): void {
    const lanes = [['changes', 'snapshot_complete'], ['apply_result']];
    for (const lane of lanes) {
      const asked = steps.map(({ answer }) => answer).filter(({ type }) => lane.includes(type));
      const came = answers.filter(({ type }) => lane.includes(type));
      assert.deepEqual(
        came.map(({ type, requestId }) => [type, requestId]),
        asked.map(({ type, requestId }) => [type, requestId]),
      );
    }
  }

  toString(): string {
    return `device ${this.#seat}: ${this.#planned.map((step) => JSON.stringify(step)).join(', ')}`;
  }
}

const seatNumber = fc.nat(2);
const commands = fc.commands(
  [
    seatNumber.map((seat) => new Connect(seat)),
    seatNumber.map((seat) => new Leave(seat)),
    ...Array.from({ length: 5 }, () =>
      fc
        .tuple(seatNumber, fc.array(plannedStep, { minLength: 1, maxLength: 5 }))
        .map(([seat, steps]) => new Say(seat, steps)),
    ),
  ],
  { maxCommands: 30, size: 'max' },
);

/** Whoever is new to the database gets what the model holds, by the log and by a snapshot. */
async function checkStored(model: Model, { wsUrl, databaseId }: Real): Promise<void> {
  const reader = await TestClient.join(wsUrl, { siteId: new Device(50).siteId, databaseId });
  const [byLog, bySnapshot] = [new Replica(), new Replica()];
  byLog.apply(await reader.changesSince());
  bySnapshot.load(await reader.snapshot());
  reader.socket.terminate();
  assert.deepEqual(byLog.contents(), model.stored.contents());
  assert.deepEqual(bySnapshot.contents(), model.stored.contents());
}

test('a session answers as its model does, whatever is said in whatever order', async (t) => {
  const { wsUrl } = await startServer(t, {
    // With many cases more logins fail from here than a server lets fail that is guessed at.
    config: {
      storage: 'memory:',
      limits: { changesPerBatch: CHANGES_MAX, failedLoginsPerMinute: 1_000_000 },
    },
    hooks: {
      onAuthenticate({ token, siteId }) {
        if (token === BAD_TOKEN || siteId === undefined) throw new SyncError('AUTH_FAILED', 'no');
        return { siteId, userId: 'somebody' };
      },
    },
  });
  let round = 0;
  await holdsAsync(
    fc.asyncProperty(commands, async (some) => {
      const devices = [1, 2, 3].map((number) => new Device(number));
      const model = createModel(devices);
      const real: Real = {
        wsUrl,
        databaseId: `db-${++round}`,
        lines: devices.map(() => ({
          client: undefined,
          heard: 0,
          replica: new Replica(),
          lastPush: undefined,
          received: new Set(),
          due: new Set(),
        })),
      };
      try {
        await fc.asyncModelRun(() => ({ model, real }), some);
        await checkStored(model, real);
        for (const [i, { state }] of model.seats.entries()) {
          if (state !== 'joined') continue;
          const { client, replica } = lineOf(real, i);
          hear(model, real, i);
          replica.apply((await client?.changesSince()) ?? []);
          assert.deepEqual(replica.contents(), model.stored.contents(), `device ${i}`);
        }
      } finally {
        for (const { client } of real.lines) client?.socket.terminate();
      }
    }),
    16,
  );
});
