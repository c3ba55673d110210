#!/usr/bin/env node
// Nothing is imported before this, which an older Node.js might not be able to read.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `sync-coordinator: needs Node.js 20.19 or later, and this is ${process.version}\n`,
  );
  process.exit(1);
}
// A signal may come while the rest is imported.
const { watchSignals } = await import('../cli/early-signals.ts');
watchSignals();
// Before anything large is imported: what can't be opened for it is reported as missing.
const { refuseFewFiles } = await import('../cli/few-files.ts');
refuseFewFiles();
const { ensureHome } = await import('../cli/home.ts');
ensureHome();
const { runCli } = await import('../cli/run-cli.ts');
runCli(process.argv);

export {};
