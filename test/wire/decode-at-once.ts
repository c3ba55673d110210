/** The decoders without others who might have their turn between two steps. */

import assert from 'node:assert/strict';
import * as decoders from '../../src/wire/decode.ts';
import { isLongText, type JsonText } from '../../src/wire/long-json.ts';
import { runAtOnce } from '../../src/wire/steps.ts';

type Limits = decoders.DecodeLimits;

export function decodeClientMessage(text: JsonText, limits: Limits) {
  if (isLongText(text)) return runAtOnce(decoders.decodeInSteps(text, limits));
  const decoded = decoders.decodeClientMessage(text, limits, assert.fail);
  if (decoded instanceof Promise) assert.fail('a message that is not long is decoded at once');
  return decoded;
}

export function decodeApplyBody(text: JsonText, limits: Limits) {
  return runAtOnce(decoders.decodeApplyBody(text, limits));
}

export function decodeCheckpointBody(text: JsonText, limits: Limits) {
  return runAtOnce(decoders.decodeCheckpointBody(text, limits));
}
