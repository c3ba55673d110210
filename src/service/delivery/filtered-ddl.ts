/**
 * What a client may see of the DDL of a snapshot. The header has its count, so all of it is filtered
 * before the header is sent, and again as it is sent, a part at a time: none of it is kept.
 */

import { createHash, type Hash } from 'node:crypto';
import { joined, letGoOfEach, workOnEach } from '../../engine/records/let-go.ts';
import type { Snapshot } from '../../engine/snapshot/snapshot.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireMigration } from '../../protocol/schemas.ts';
import type { Stamp } from '../access/rights.ts';
import { PARSED_AT_ONCE_BYTES } from '../budgets/page-reads.ts';

/** The client's right to the snapshot. */
export interface SnapshotRight {
  /** See `ReadRight.stamp`. */
  now(): Stamp;
  /** See `ReadRight.holds`. */
  holds(stamp: Stamp): Promise<boolean>;
}

/** About as long is a migration without its text. */
const OTHER_FIELDS_LENGTH = 200;

export interface DdlFilterOptions {
  migrations: Snapshot['migrations'];
  right: SnapshotRight;
  /** @returns the migrations that the client may see */
  see(migrations: WireMigration[]): Promise<readonly WireMigration[]>;
}

/** What was seen of all DDL. */
interface Judged {
  /** Of the right under which it was. */
  stamp: Stamp;
  count: number;
  digest: string;
  /** All of it, if that is little, and of how many migrations. */
  whole: { size: number; texts: readonly string[] } | undefined;
}

export class DdlFilter {
  readonly #options: DdlFilterOptions;
  #judged: Judged | undefined;
  #part: WireMigration[] = [];
  #partBytes = 0;
  #sent = 0;

  constructor(options: DdlFilterOptions) {
    this.#options = options;
  }

  /** How many migrations the client will be sent. To be called first. */
  async count(): Promise<number> {
    this.#judged = await this.#judge();
    return this.#judged.count;
  }

  async #judge(): Promise<Judged> {
    const { migrations, right } = this.#options;
    for (;;) {
      const stamp = right.now();
      const hash = createHash('sha256');
      let count = 0;
      let parts = 0;
      let whole: Judged['whole'];
      await workOnEach(joined(inParts(migrations())), async ({ part, isLong }) => {
        const seen = await this.#options.see(part);
        for (const migration of seen) addTo(hash, migration);
        count += seen.length;
        const isWhole = ++parts === 1 && !isLong;
        whole = isWhole ? { size: part.length, texts: seen.map(toText) } : undefined;
        return true;
      });
      if (await right.holds(stamp)) return { stamp, count, digest: hash.digest('hex'), whole };
    }
  }

  /** @param bytes of the chunk that it came in */
  async *add(migration: WireMigration, bytes: number): AsyncGenerator<string, void, undefined> {
    this.#part.push(migration);
    this.#partBytes += bytes;
    if (this.#partBytes >= PARSED_AT_ONCE_BYTES) yield* this.#send();
  }

  /** To be called after the last migration. A second call does nothing. */
  async *end(): AsyncGenerator<string, void, undefined> {
    if (this.#part.length > 0) yield* this.#send();
    if (this.#sent !== this.#judged?.count) throw changed();
  }

  async *#send(): AsyncGenerator<string, void, undefined> {
    const part = this.#part;
    this.#part = [];
    this.#partBytes = 0;
    const whole = this.#judged?.whole;
    let texts = whole?.size === part.length ? whole.texts : await this.#textsOf(part);
    while (!(await this.#isAsJudged())) texts = await this.#textsOf(part);
    for (const text of texts) {
      await this.#isAsJudged();
      this.#sent++;
      yield text;
    }
  }

  /**
   * Makes sure that all DDL, also what has been sent, is seen as it was when it was counted.
   * @returns whether nothing has happened that may have changed that
   * @throws SyncError SNAPSHOT_ERROR
   */
  async #isAsJudged(): Promise<boolean> {
    const { right } = this.#options;
    let isUnchanged = true;
    for (;;) {
      if (this.#judged === undefined) throw new Error('DDL is counted before it is sent');
      if (await right.holds(this.#judged.stamp)) return isUnchanged;
      isUnchanged = false;
      const { digest } = this.#judged;
      this.#judged = await this.#judge();
      if (this.#judged.digest !== digest) throw changed();
    }
  }

  async #textsOf(part: WireMigration[]): Promise<readonly string[]> {
    return (await this.#options.see(part)).map(toText);
  }
}

interface DdlPart {
  part: WireMigration[];
  isLong: boolean;
}

/** As much as a hook is given at once. Long DDL ends its part, before more of it is read. */
async function* inParts(
  migrations: AsyncIterable<WireMigration>,
): AsyncGenerator<Iterable<DdlPart> | AsyncIterable<DdlPart>, void, undefined> {
  let part: WireMigration[] = [];
  let length = 0;
  yield letGoOfEach(migrations, function* (migration) {
    part.push(migration);
    length += OTHER_FIELDS_LENGTH + migration.ddl.length;
    if (length < PARSED_AT_ONCE_BYTES) return;
    const whole = part;
    part = [];
    length = 0;
    yield { part: whole, isLong: true };
  });
  if (part.length > 0) yield [{ part, isLong: false }];
}

function toText(migration: WireMigration): string {
  return JSON.stringify({ type: 'schema-migration', migration });
}

/** Without a copy of its text. */
function addTo(hash: Hash, { ddl, ...rest }: WireMigration): void {
  hash.update(JSON.stringify([rest, ddl.length])).update(ddl);
}

export function changed(): SyncError {
  const message = 'what this client may see has changed while it was sent: ask for the rest again';
  return new SyncError('SNAPSHOT_ERROR', message);
}
