/**
 * The protocol's parts, for who writes a client of another kind: encodings, messages, error codes,
 * and which change wins. They are the server's own.
 */

export {
  compareHlc,
  decodeHlc,
  encodeHlc,
  type Hlc,
  type HlcText,
  hlcCounter,
  hlcWallTimeMs,
  isHlcText,
  maxHlc,
} from '../../../../src/clock/hlc.ts';
export {
  hlcSite,
  isSiteIdText,
  type SiteIdText,
  siteIdToText,
  textToSiteId,
} from '../../../../src/clock/site-id.ts';
export { WS_CLOSE } from '../../../../src/protocol/close-codes.ts';
export type { ErrorCode } from '../../../../src/protocol/error-codes.ts';
export {
  columnOutcome,
  deleteOutcome,
  deleteRemovesCell,
  type MergeOutcome,
} from '../../../../src/protocol/merge-rule.ts';
export {
  decodeValue,
  encodeValue,
  type JsonObject,
  pkIdentity,
  type SqlValue,
} from '../../../../src/protocol/values.ts';
export { SiteClock } from '../clock.ts';
export type * from './messages.ts';
