/** The decoders without others who might have their turn between two steps. */

import * as decoders from '../../src/wire/decode.ts';
import type { JsonText } from '../../src/wire/long-json.ts';
import { runAtOnce } from '../../src/wire/steps.ts';

type Limits = decoders.DecodeLimits;

export function decodeClientMessage(text: JsonText, limits: Limits) {
  return runAtOnce(decoders.decodeClientMessage(text, limits));
}

export function decodeApplyBody(text: JsonText, limits: Limits) {
  return runAtOnce(decoders.decodeApplyBody(text, limits));
}

export function decodeCheckpointBody(text: JsonText, limits: Limits) {
  return runAtOnce(decoders.decodeCheckpointBody(text, limits));
}
