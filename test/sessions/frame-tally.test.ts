import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameTally } from '../../src/sessions/frame-tally.ts';
import { frameHeader } from '../hostile/raw-socket.ts';

const PING = 9;
const LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];

function frame(length: number, options?: Parameters<typeof frameHeader>[1]): Buffer {
  return Buffer.concat([frameHeader(length, options), Buffer.alloc(length, 0xff)]);
}

/** With a length in two bytes, which `frameHeader` writes in eight. */
function frameOfTwoBytes(length: number): Buffer {
  const header = Buffer.from([0x81, 0x80 | 126, length >> 8, length & 0xff, 0, 0, 0, 0]);
  return Buffer.concat([header, Buffer.alloc(length, 0xff)]);
}

test('messages are whole where their last frame ends, wherever they are cut', () => {
  const messages = [
    ...LENGTHS.map((length) => frame(length)),
    ...[200, 65_535].map(frameOfTwoBytes),
    Buffer.concat([
      frame(300, { fin: false }),
      frame(5, { opcode: PING }),
      frame(0, { opcode: 0, fin: false }),
      frame(7, { opcode: 0 }),
    ]),
  ];
  const all = Buffer.concat(messages);
  for (const cut of [1, 2, 3, 13, 14, 1000, 65_536, all.length]) {
    const tally = new FrameTally();
    let whole = 0;
    for (let at = 0; at < all.length; at += cut) {
      whole += tally.read(all.subarray(at, at + cut));
      const isWhole = at + cut >= all.length;
      if (isWhole) assert.ok(!tally.isOpen, `cut by ${cut}`);
    }
    assert.deepEqual([whole, tally.frames], [messages.length, 0], `cut by ${cut}`);
  }
});

test('what has begun is open: a byte of a header, a frame, and a message between its frames', () => {
  const tally = new FrameTally();
  assert.ok(!tally.isOpen);
  const first = frame(3, { fin: false });
  for (const byte of first) {
    tally.read(Buffer.of(byte));
    assert.ok(tally.isOpen);
  }
  assert.equal(tally.frames, 1);
  assert.equal(tally.read(frame(3, { opcode: PING })), 0);
  assert.deepEqual([tally.isOpen, tally.frames], [true, 1]);
  assert.equal(tally.read(frame(0, { opcode: 0 })), 1);
  assert.ok(!tally.isOpen);
  tally.read(frame(3, { opcode: PING }).subarray(0, 7));
  assert.ok(tally.isOpen);
});

test('many frames that are mostly headers are told, wherever they are cut, and few or large ones are not', () => {
  const message = (frames: number, length: number) =>
    Buffer.concat([
      ...Array.from({ length: frames - 1 }, (_, i) =>
        frame(length, { opcode: i && 0, fin: false }),
      ),
      // A frame between them adds nothing to what is in them.
      frame(125, { opcode: PING }),
      frame(length, { opcode: 0 }),
    ]);
  const tried = [
    { bytes: message(257, 1), isTooTiny: false },
    { bytes: message(258, 1), isTooTiny: true },
    { bytes: message(258, 127), isTooTiny: true },
    { bytes: message(4000, 128), isTooTiny: false },
    { bytes: Buffer.concat(Array<Buffer>(300).fill(message(2, 1))), isTooTiny: false },
  ];
  for (const { bytes, isTooTiny } of tried) {
    for (const cut of [7, 1000, bytes.length]) {
      const tally = new FrameTally();
      for (let at = 0; at < bytes.length; at += cut) tally.read(bytes.subarray(at, at + cut));
      assert.equal(tally.isTooTiny, isTooTiny, `${bytes.length} bytes, cut by ${cut}`);
    }
  }
});

test('the bytes of compressed messages are told when they have arrived in full, and of no others', () => {
  const compressed = Buffer.concat([
    frame(300, { rsv1: true, fin: false }),
    frame(5, { opcode: PING }),
    frame(70_000, { opcode: 0, fin: false }),
    frame(0, { opcode: 0 }),
  ]);
  const all = Buffer.concat([
    frame(10),
    compressed,
    frame(7, { fin: false }),
    frame(8, { opcode: 0 }),
  ]);
  for (const cut of [1, 13, 1000, all.length]) {
    const tally = new FrameTally();
    const seen = new Set<number>();
    for (let at = 0; at < all.length; at += cut) {
      tally.read(all.subarray(at, at + cut));
      seen.add(tally.deflatedBytes);
    }
    assert.equal(tally.deflatedBytes, 70_300);
    assert.ok([...seen].every((bytes) => bytes === 0 || bytes === 70_300));
  }
});
