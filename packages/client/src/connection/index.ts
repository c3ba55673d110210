/** The protocol on one socket, for who has an engine of its own. */

export {
  createEnvironment,
  type Environment,
  type SocketConstructor,
  type SocketLike,
  type Transport,
} from '../environment.ts';
export type { ApplyAnswer } from './attempt.ts';
export type { BackoffOptions } from './backoff.ts';
export { Connection } from './connection.ts';
export type { Token } from './credentials.ts';
export type { ConnectionOptions, ConnectionPort, ConnectionStatus } from './options.ts';
export { ServerError } from './server-error.ts';
export { type ConnectionEvent, type ConnectionState, TRANSITIONS } from './states.ts';
export { createPage, type Page, watchPage } from './wake-ups.ts';
