/** Runs a read once few enough others run. */
export type InTurn = <T>(read: () => Promise<T>) => Promise<T>;
