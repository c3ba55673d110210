/** What `sync-coordinator/testing` gives to those who write a storage of their own. */

export {
  type KVStoreContractOptions,
  kvStoreContract,
  type OpenedStorage,
} from './kv-store-contract.ts';
