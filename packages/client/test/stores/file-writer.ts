/**
 * A process that writes to a file store until it is killed: one line on stdout for each batch that is
 * durable. `tsx file-writer.ts <path> <first batch>`
 */

import { FileStore } from '../../src/stores/file.ts';

const [path = '', first = '1'] = process.argv.slice(2);
const store = new FileStore(path, { garbageBytesMin: 20_000 });
await store.load();
for (let batch = Number(first); ; batch++) {
  const text = 'x'.repeat((batch * 7919) % 30_000);
  await store.commit([
    { type: 'put', key: 'begin', value: batch },
    { type: 'put', key: `row/${batch % 5}`, value: { batch, text } },
    { type: 'put', key: 'end', value: batch },
  ]);
  process.stdout.write(`${batch}\n`);
}
