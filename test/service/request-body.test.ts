import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { collectBody } from '../../src/service/request-body.ts';

const BYTES_MAX = 200_000;

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
        const body = await collectBody(pieces(text, bytes), { announced, bytesMax: BYTES_MAX });
        assert.ok(body.toString() === text, `${text.length} in pieces of ${bytes}`);
      }
    }
  }
});

test('one that is too large, of another length, or breaks off is refused, and read to its end', async () => {
  const large = pieces('x'.repeat(BYTES_MAX + 1), 1000);
  const options = { announced: undefined, bytesMax: BYTES_MAX };
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
    await assert.rejects(collected, { code: 'MESSAGE_ERROR' });
  }
});
