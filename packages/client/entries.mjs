/** The subpaths of the package: name of the built file → source. */
export const ENTRIES = {
  index: 'src/index.ts',
  protocol: 'src/protocol/index.ts',
  connection: 'src/connection/index.ts',
  memory: 'src/stores/memory.ts',
};
