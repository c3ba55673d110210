import { createMemoryStorage } from '../../src/storage/memory.ts';
import { kvStoreContract } from '../../src/testing/index.ts';
import { tamperFormat } from './tamper-format.ts';

kvStoreContract({
  name: 'memory',
  tamperFormat,
  async open() {
    const storage = createMemoryStorage();
    return { storage, dispose: () => storage.close() };
  },
});
