/** How `copy` says what became of a database, and what it ends with. */

import { SyncError } from '../errors.ts';
import { toPrintable } from '../printable.ts';
import { failureToText } from './failure.ts';

/** What the process ends with: all is done; something is damaged; something was not possible. */
export const TRANSFER_EXIT = { done: 0, damaged: 1, refused: 2 } as const;
export type TransferOutcome = (typeof TRANSFER_EXIT)[keyof typeof TRANSFER_EXIT];

export async function endWith(work: () => Promise<TransferOutcome>): Promise<void> {
  process.exitCode = await work().catch((error: unknown) => {
    process.stderr.write(`${failureToText(error)}\n`);
    return TRANSFER_EXIT.refused;
  });
}

/** @param work resolves to what was done */
export async function tryOne(id: string, work: () => Promise<string>): Promise<TransferOutcome> {
  const say = (text: string) => process.stdout.write(`${toPrintable(`database ${id}: ${text}`)}\n`);
  try {
    say(await work());
    return TRANSFER_EXIT.done;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
    const code = error instanceof SyncError ? `${error.code}: ` : '';
    say(`${code}${error.message}${cause}`);
    return code === 'STORE_DAMAGED: ' ? TRANSFER_EXIT.damaged : TRANSFER_EXIT.refused;
  }
}
