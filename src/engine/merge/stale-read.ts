/** The log has grown since a hook decided about a batch, and before the batch was merged. */
export class StaleReadError extends Error {
  override readonly name = 'StaleReadError';

  constructor() {
    super('the database has changed since the batch was judged');
  }
}
