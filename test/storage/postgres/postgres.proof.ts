import { after } from 'node:test';
import { kvStoreContract } from '../../../src/testing/index.ts';
import { openPostgres, startPostgres } from '../../support/postgres.ts';
import { tamperFormat } from '../tamper-format.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

kvStoreContract({
  name: 'PostgreSQL',
  persistent: true,
  tamperFormat,
  async open() {
    const url = postgres.url();
    let storage = await openPostgres(url);
    return {
      storage,
      async reopen() {
        await storage.close();
        storage = await openPostgres(url);
        return storage;
      },
      dispose: () => storage.close(),
    };
  },
});
