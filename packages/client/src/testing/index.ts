/** For tests of stores. */

export { type ClientStoreContractOptions, clientStoreContract } from '../stores/contract.ts';
