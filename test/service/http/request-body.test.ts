import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { isClientGone } from '../../../src/errors/client-gone.ts';
import type { SyncError } from '../../../src/errors/sync-error.ts';
import { collectBody } from '../../../src/service/http/request-body.ts';

const BYTES_MAX = 200_000;
/** There is room at once. */
const arrive = () => undefined;

function pieces(text: string, bytes: number): Readable {
  const all = Buffer.from(text);
  const parts: Buffer[] = [];
  for (let at = 0; at < all.length; at += bytes) parts.push(all.subarray(at, at + bytes));
  return Readable.from(parts, { objectMode: false });
}

test('a body comes out as it went in, in pieces of whatever size, its length announced or not', async () => {
  const texts = ['', 'x', 'abc'.repeat(10), 'abcd'.repeat(16 * 1024), 'abcde'.repeat(30_000)];
  for (const text of texts) {
    for (const bytes of [1, 7, 65_535, 65_537, 200_000]) {
      for (const announced of [undefined, text.length]) {
        const body = await collectBody(pieces(text, bytes), {
          announced,
          bytesMax: BYTES_MAX,
          arrive,
        });
        assert.ok(body.toString() === text, `${text.length} in pieces of ${bytes}`);
      }
    }
  }
});

test('one that is too large, of another length, or breaks off is refused, and read to its end', async () => {
  const large = pieces('x'.repeat(BYTES_MAX + 1), 1000);
  const options = { announced: undefined, bytesMax: BYTES_MAX, arrive };
  await assert.rejects(collectBody(large, options), { code: 'TOO_LARGE' });
  const announced = pieces('x'.repeat(10), 1);
  await assert.rejects(collectBody(announced, { ...options, announced: BYTES_MAX + 1 }), {
    code: 'TOO_LARGE',
    limit: 'limits.messageBytes',
  });
  for (const wrong of [9, 11]) {
    const other = pieces('x'.repeat(10), 1);
    const refused = { code: 'MESSAGE_ERROR' };
    await assert.rejects(collectBody(other, { ...options, announced: wrong }), refused);
  }
  for (const end of [
    (it: PassThrough) => it.destroy(),
    (it: PassThrough) => it.destroy(new Error('gone')),
  ]) {
    const broken = new PassThrough();
    broken.write('[');
    const collected = collectBody(broken, options);
    end(broken);
    await assert.rejects(collected, (refused: SyncError) => {
      assert.equal(refused.code, 'MESSAGE_ERROR');
      return isClientGone(refused);
    });
  }
});

test('a piece that there is no room for waits, and nothing more is read before it is kept', async () => {
  for (const announced of [undefined, 9]) {
    const asked: number[] = [];
    const makeRoom: (() => void)[] = [];
    const stream = new PassThrough();
    const collected = collectBody(stream, {
      ...{ announced, bytesMax: BYTES_MAX },
      arrive(bytes) {
        asked.push(bytes);
        return new Promise((resolve) => makeRoom.push(resolve));
      },
    });
    for (const piece of ['abc', 'def', 'ghi']) stream.write(piece);
    stream.end();
    for (const upTo of [[3], [3, 6], [3, 6, 9]]) {
      await new Promise(setImmediate);
      assert.deepEqual(asked, upTo);
      makeRoom.shift()?.();
    }
    assert.equal((await collected).toString(), 'abcdefghi');
  }
});

test('a body that gets no room is refused, and read to its end', async () => {
  const stream = new PassThrough();
  const reason = new Error('no room');
  const collected = collectBody(stream, {
    ...{ announced: undefined, bytesMax: BYTES_MAX },
    arrive: () => Promise.reject(reason),
  });
  stream.write('abc');
  await assert.rejects(collected, reason);
  const ended = once(stream, 'end');
  stream.end('def');
  await ended;
});
