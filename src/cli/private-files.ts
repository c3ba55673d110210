/**
 * What the command makes is for its own user to read, whatever the umask that it was started with. A
 * library leaves that alone, as it is its embedder's: there the directories keep others out.
 */

export function keepFilesPrivate(): void {
  process.umask(0o077);
}
