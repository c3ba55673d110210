/** How `copy`, `export` and `import` say what became of a database, and what it ends with. */

import { toPrintable } from '../errors/printable.ts';
import { SyncError } from '../errors/sync-error.ts';
import { PACKAGE_NAME } from '../modules/own-package.ts';
import { ExportFileError } from '../transfer/export/format.ts';
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

/**
 * @param work resolves to what was done
 * @param output where to say it
 */
export async function tryOne(
  id: string,
  work: () => Promise<string>,
  output: NodeJS.WritableStream = process.stdout,
): Promise<TransferOutcome> {
  const say = (text: string) => output.write(`${toPrintable(`database ${id}: ${text}`)}\n`);
  try {
    say(await work());
    return TRANSFER_EXIT.done;
  } catch (error) {
    if (!(error instanceof Error) || error instanceof ExportFileError) throw error;
    const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
    const code = error instanceof SyncError ? `${error.code}: ` : '';
    say(`${code}${error.message}${cause}`);
    return code === 'STORE_DAMAGED: ' ? TRANSFER_EXIT.damaged : TRANSFER_EXIT.refused;
  }
}

/** Says what is wrong with a file, if that is what stops the work. */
export async function tryFile(
  name: string,
  work: () => Promise<TransferOutcome>,
): Promise<TransferOutcome> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ExportFileError)) throw error;
    process.stderr.write(`${PACKAGE_NAME}: ${toPrintable(`${name}: ${error.message}`)}\n`);
    return error.isDamaged ? TRANSFER_EXIT.damaged : TRANSFER_EXIT.refused;
  }
}
