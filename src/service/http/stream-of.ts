import { Readable } from 'node:stream';

/** `Readable.from`, but nothing is kept here of a chunk that the stream has taken. See `let-go.ts`. */
export function streamOf(chunks: AsyncIterable<string | Uint8Array>): Readable {
  const iterator = chunks[Symbol.asyncIterator]();
  const give = async (stream: Readable) => {
    const { done, value } = await iterator.next();
    stream.push(done ? null : value);
  };
  return new Readable({
    read() {
      give(this).catch((error: Error) => this.destroy(error));
    },
    destroy(error, done) {
      const ended = async () => iterator.return?.();
      ended().then(() => done(error), done);
    },
  });
}
