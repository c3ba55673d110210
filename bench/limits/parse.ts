/** The limit of applying: JSON.parse of the same messages, and every HLC of them decoded. */

import { decodeHlc } from '../../src/clock/hlc.ts';
import { TransactionMaker, type TransactionShape } from '../lib/messages.ts';
import { serveProgram } from '../lib/program.ts';

interface ParsedMessage {
  changes: { hlc: string; changes: { hlc: string }[] }[];
}

let texts: string[] = [];
let decoded = 0;

const methods = serveProgram({
  prepare({ shape, messages }: { shape: TransactionShape; messages: number }) {
    const maker = new TransactionMaker();
    texts = Array.from({ length: messages }, () => maker.message(shape).toString('latin1'));
  },
  /** @returns microseconds of CPU a message */
  run(): number {
    const before = process.cpuUsage();
    for (const text of texts) {
      const message: ParsedMessage = JSON.parse(text);
      for (const changeSet of message.changes) {
        decoded += decodeHlc(changeSet.hlc).opSeq;
        for (const change of changeSet.changes) decoded += decodeHlc(change.hlc).opSeq;
      }
    }
    const { user, system } = process.cpuUsage(before);
    // Used, so that nothing of it can be left out.
    return decoded < 0 ? 0 : (user + system) / texts.length;
  },
});

export type ParseLimit = typeof methods;
