/** The project's wire vectors: what a client in use today makes of values that are told apart. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { WireChangeSet, WireCheckpoint } from '../../src/protocol/schemas.ts';
import type { SqlValue } from '../../src/protocol/values.ts';

export interface HlcVector {
  /** Decimal: it may exceed what a number holds. */
  wallTime: string;
  counter: number;
  siteIdHex: string;
  opSeq: number;
  bytesHex: string;
  base64: string;
}

interface ValueVector {
  index: number;
  /** JSON of the value, or a text that names one which JSON can't say. */
  js: unknown;
  wire: unknown;
}

export type SnapshotChunk = { type: string } & Record<string, unknown>;

interface WireVectors {
  protocolVersion: number;
  hlcAscending: HlcVector[];
  siteIds: { hex: string; base64url: string }[];
  values: ValueVector[];
  changeSets: WireChangeSet[];
  checkpoint: WireCheckpoint;
  snapshotChunks: SnapshotChunk[];
}

const url = new URL('../vectors/wire-vectors.json', import.meta.url);

export const VECTORS: WireVectors = JSON.parse(readFileSync(fileURLToPath(url), 'utf8'));

/** What a vector's `js` names: `-0`, `…n` a bigint, `bytes …` bytes in hex; else itself. */
export function vectorToValue({ js, wire }: ValueVector): SqlValue {
  if (typeof js === 'string' && typeof wire !== 'string') {
    if (js === '-0') return -0;
    if (/^-?[0-9]+n$/.test(js)) return BigInt(js.slice(0, -1));
    const [, hex] = /^bytes ([0-9a-f]*)$/.exec(js) ?? [];
    if (hex !== undefined) return new Uint8Array(Buffer.from(hex, 'hex'));
  }
  return js as SqlValue;
}
