/**
 * Which files were loaded for us: those that bear our namespace, and those that one of them has brought
 * in as CommonJS, whose cache knows no namespaces. Whatever else the process loads is the embedding
 * app's, and none of our business.
 */

import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';

/** What we import bears it, perhaps with something behind it: see `tsx/esm/api`. */
export const NAMESPACE = 'sync-coordinator';

const MARK = new RegExp(`namespace(?:=|%3D)${NAMESPACE}(?![^&#%-])`);
const START = 'tsx://';
/** Where tsx notes the file, in the address of what it has translated. */
const TRANSLATED = /^data:text\/javascript,.*\?filePath=([^#&]*)/s;

export class ImportedFiles {
  readonly #paths = new Set<string>();
  #port: MessagePort | undefined;

  /** @param port to who resolves the other half of imports, in another thread: each hears of the other's files */
  connect(port: MessagePort): void {
    this.#port = port;
  }

  /**
   * Whether a module asks that was loaded for us.
   * @param specifier what it asks for: an import of ours begins with one of its own kind
   * @param parent its URL, or the name of its file
   */
  isAskedBy(parent: string | undefined, specifier: string): boolean {
    if (specifier.startsWith(START)) return specifier.includes(`"namespace":"${NAMESPACE}`);
    if (parent === undefined) return false;
    const address = translatedFile(parent) ?? parent;
    if (address.startsWith('data:')) return false;
    return MARK.test(address) || this.#has(toPath(address));
  }

  /** What such a module was given. An ES module that bears our namespace is told by that. */
  add(address: string, format?: string | null): void {
    const path = toPath(address);
    const isMarked = format?.startsWith('module') && MARK.test(address);
    if (isMarked || !isAbsolute(path) || this.#has(path)) return;
    this.#paths.add(path);
    this.#port?.postMessage(path);
  }

  #has(path: string): boolean {
    // What was sent before this was asked is there.
    for (;;) {
      const received: { message: string } | undefined =
        this.#port && receiveMessageOnPort(this.#port);
      if (received === undefined) return this.#paths.has(path);
      this.#paths.add(received.message);
    }
  }
}

/** The file, with its namespace, that tsx has made a `data:` URL of. */
export function translatedFile(address: string): string | undefined {
  const [, file] = TRANSLATED.exec(address) ?? [];
  return file === undefined ? undefined : decodeURIComponent(file);
}

function toPath(address: string): string {
  const path = address.startsWith('file:') ? fileURLToPath(address) : address;
  return path.split('?')[0] ?? '';
}
