/** A batch was judged by what was stored then, and by the time that it was to be merged there was more. */
export class StaleReadError extends Error {
  override readonly name = 'StaleReadError';

  constructor() {
    super('the database has changed since the batch was judged');
  }
}
