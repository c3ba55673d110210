/** Clock, randomness and scheduling, so that a simulation can provide them. */
export interface World {
  /** Wall time in milliseconds. */
  now(): number;
  randomBytes(size: number): Uint8Array;
  randomUuid(): string;
  /** Lets other work run, during long work. */
  yield(): Promise<void>;
}
