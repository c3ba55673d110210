/** What the coordinators of a simulation keep their databases in, and how it can be troubled. */

import type { Storage } from '../../src/storage/kv-store.ts';
import type { Committed } from './committed.ts';

export interface SimStorage {
  readonly committed: Committed;
  /** What a process sees of it. */
  mount(owner: string): Storage;
  /** The process with this name is gone, without having closed anything. */
  killed(owner: string): void;
  /** From now on it takes nothing, or all again. */
  toggleOutage(): void;
  /** From now on some of what is asked of it fails, or nothing. */
  changeFaults(): void;
  /** How long a writer may take to hear that what it wrote is there, for all to read. */
  lingerMs: number;
  /** From now on most words of commits do not reach the others. */
  hearLate(): void;
  /** It is sound from now on. */
  mend(): void;
}
