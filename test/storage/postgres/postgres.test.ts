import { after } from 'node:test';
import { openStorage } from '../../../src/storage/open-storage.ts';
import { kvStoreContract } from '../../../src/testing/index.ts';
import { startPostgres } from '../../support/postgres.ts';
import { tamperFormat } from '../tamper-format.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

kvStoreContract({
  name: 'PostgreSQL',
  persistent: true,
  tamperFormat,
  async open() {
    const url = postgres.url();
    let storage = await openStorage({ url, durability: 'fsync' });
    return {
      storage,
      async reopen() {
        await storage.close();
        storage = await openStorage({ url, durability: 'fsync' });
        return storage;
      },
      dispose: () => storage.close(),
    };
  },
});
