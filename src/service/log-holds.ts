/** Who reads the logs behind the clients' backs, and must not have them shortened meanwhile. */

import { encodeHlc, HLC_MIN, type HlcText, minHlc } from '../clock/hlc.ts';
import type { LogHold } from '../hooks/reader.ts';
import type { Logger } from '../logger.ts';

export class LogHolds {
  readonly #holds = new Set<LogHold>();

  /** @returns ends it */
  add(hold: LogHold): () => void {
    this.#holds.add(hold);
    return () => this.#holds.delete(hold);
  }

  /** What stands after it must stay as it is; `undefined` if nobody minds. */
  async keepAfter(databaseId: string, logger: Logger): Promise<HlcText | undefined> {
    let keepAfter: HlcText | undefined;
    for (const hold of this.#holds) {
      const readUpTo = await readUpToOf(hold, databaseId, logger);
      if (readUpTo !== undefined) keepAfter = minHlc(readUpTo, keepAfter ?? readUpTo);
    }
    return keepAfter;
  }
}

async function readUpToOf(
  hold: LogHold,
  databaseId: string,
  logger: Logger,
): Promise<HlcText | undefined> {
  try {
    const readUpTo = await hold(databaseId);
    return readUpTo === undefined ? undefined : encodeHlc(readUpTo);
  } catch (error) {
    logger.error('database %s: how far its log has been read is unknown: %O', databaseId, error);
    return HLC_MIN;
  }
}
