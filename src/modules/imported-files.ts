/**
 * Which files were loaded for us: those that bear our namespace, and those that one of them has brought
 * in as CommonJS, whose cache knows no namespaces. Whatever else the process loads is the embedding
 * app's, and none of our business.
 */

import { isAbsolute } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type Search, searchNow } from './found-now.ts';
import { toRealSpecifier } from './real-path.ts';
import { addMemory, type Memory } from './remembered-packages.ts';

/** What we import bears it, perhaps with something behind it: see `tsx/esm/api`. */
export const NAMESPACE = 'sync-coordinator';

const MARK = new RegExp(`namespace(?:=|%3D)${NAMESPACE}(?![^&#%-])`);
const START = 'tsx://';
const GENERATION_OF = /[?&]generation=(\d+)/;
/** Where tsx notes the file, in the address of what it has translated. */
const TRANSLATED = /^data:text\/javascript,.*\?filePath=([^#&]*)/s;

/** Part of the address of what was imported anew, as Node.js imports an address once. */
const GENERATION = 'generation';

/** A file that was found, a module of ours, how often what was imported has been forgotten, or what a package was. */
type Message = string | { module: string } | number | Memory;

/** What is imported, in the words of tsx. */
interface OwnImport {
  specifier: string;
  parentURL: string;
  namespace: string;
}

interface OwnSearch<Found> {
  steps: Search<Found>;
  /** What is to be asked for, so that it is for us. */
  toOwn(request: string): string;
}

export class ImportedFiles {
  readonly #paths = new Set<string>();
  readonly #modules = new Set<string>();
  #port: MessagePort | undefined;
  #generation = 0;

  /** @param port to who resolves the other half of imports, in another thread: each hears of the other's files */
  connect(port: MessagePort): void {
    this.#port = port;
    port.postMessage(this.#generation);
  }

  /** From now on everything is found under another address than before. */
  beginGeneration(): void {
    this.#generation++;
    this.#port?.postMessage(this.#generation);
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
    return MARK.test(address) || this.has(toPath(address));
  }

  /** Whether it is a module of ours: what it requires by `createRequire` is asked for in its name without our mark. */
  isModule(path: string): boolean {
    this.receive();
    return this.#modules.has(path);
  }

  /** Looks for what a module of ours imports, where that is now. */
  search<Found extends { url: string }>(specifier: string, parent: string): OwnSearch<Found> {
    const own = this.#toOwnImport(specifier, parent);
    const path = toPath(own.parentURL);
    const request = toRealSpecifier(own.specifier, path);
    const { search } = request.startsWith('file:') ? new URL(request) : { search: '' };
    const steps = searchNow<Found>({
      request,
      parent: path,
      toRequest: (found) => `${pathToFileURL(found)}${search}`,
      pathOf: ({ url }) => toPath(url),
      tell: this.tell,
    });
    // CommonJS bears no mark, and neither would what it imports.
    const isMarked = !specifier.startsWith(START) && MARK.test(parent);
    const toOwn = (asked: string) =>
      isMarked ? asked : `${START}${JSON.stringify({ ...own, specifier: asked })}`;
    return { steps, toOwn };
  }

  #toOwnImport(specifier: string, parent: string): OwnImport {
    if (specifier.startsWith(START)) return JSON.parse(specifier.slice(START.length));
    return { specifier, parentURL: pathToFileURL(toPath(parent)).href, namespace: NAMESPACE };
  }

  /** What was read of a package is heard of in the other thread. */
  readonly tell = (memory: Memory): void => this.#port?.postMessage(memory);

  /** The address of what a module of ours has imported, of the same generation as that. */
  toOwnAddress(address: string, parent: string | undefined): string {
    const [, ofParent] = GENERATION_OF.exec(parent ?? '') ?? [];
    const generation = ofParent ?? String(this.#current());
    const isOurs = address.startsWith('file:') && MARK.test(address);
    if (!isOurs || generation === '0' || GENERATION_OF.test(address)) return address;
    const url = new URL(address);
    url.searchParams.set(GENERATION, generation);
    return url.href;
  }

  /** What such a module was given. An ES module that bears our namespace is told by that. */
  add(address: string, format?: string | null): void {
    const path = toPath(address);
    const isMarked = format?.startsWith('module') && MARK.test(address);
    if (!isAbsolute(path) || (isMarked ? this.isModule(path) : this.has(path))) return;
    const message = isMarked ? { module: path } : path;
    this.#take(message);
    this.#port?.postMessage(message);
  }

  /** Whether what was found there was for us, other than as a module that bears our namespace. */
  has(path: string): boolean {
    this.receive();
    return this.#paths.has(path);
  }

  #current(): number {
    this.receive();
    return this.#generation;
  }

  /** What was sent before something is asked is there. */
  receive(): void {
    for (;;) {
      const received: { message: Message } | undefined =
        this.#port && receiveMessageOnPort(this.#port);
      if (received === undefined) return;
      this.#take(received.message);
    }
  }

  #take(message: Message): void {
    if (typeof message === 'number') this.#generation = Math.max(this.#generation, message);
    else if (typeof message === 'string') this.#paths.add(message);
    else if ('module' in message) this.#modules.add(message.module);
    else addMemory(message);
  }
}

/** The file, with its namespace, that tsx has made a `data:` URL of. */
export function translatedFile(address: string): string | undefined {
  const [, file] = TRANSLATED.exec(address) ?? [];
  return file === undefined ? undefined : decodeURIComponent(file);
}

/** Whether what has an address, or the name of a file with what tsx adds, is translated for us. */
export function isMarked(address: string): boolean {
  return MARK.test(address);
}

/** The path of a file by its URL or by what tsx calls it. */
export function toPath(address: string): string {
  const path = address.startsWith('file:') ? fileURLToPath(address) : address;
  return path.split('?')[0] ?? '';
}
