/** The time limit for loading modules. */

/**
 * The limit for importing a module, and for setting it up: beyond it the start fails, instead of
 * hanging.
 */
const LOAD_TIMEOUT_MS = 30_000;

/** @throws Error if it takes longer than 30 seconds */
export async function inTime<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const refuse = () => reject(new Error(`${what} did not end within ${LOAD_TIMEOUT_MS} ms`));
    timer = setTimeout(refuse, LOAD_TIMEOUT_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
