/** The protocol on one socket, for who has an engine of its own. */

export {
  createEnvironment,
  type Environment,
  type SocketConstructor,
  type SocketLike,
} from '../environment.ts';
export type { BackoffOptions } from './backoff.ts';
export {
  type ApplyAnswer,
  Connection,
  type ConnectionOptions,
  type ConnectionPort,
  type ConnectionStatus,
  type Token,
} from './connection.ts';
export { ServerError } from './server-error.ts';
export { type ConnectionEvent, type ConnectionState, TRANSITIONS } from './states.ts';
