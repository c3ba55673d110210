/**
 * Preloaded into a command under test: says on stderr which process listens, and where.
 * Between a test and the server are `npx` and a shell, which tell neither.
 */

import { Server } from 'node:net';

const { listen } = Server.prototype;

Server.prototype.listen = function (options, ...rest) {
  if (typeof options?.port !== 'number') return listen.call(this, options, ...rest);
  this.once('listening', () => {
    const report = { pid: process.pid, asked: options.port, port: this.address().port };
    process.stderr.write(`listening ${JSON.stringify(report)}\n`);
  });
  // Where somebody else has the documented port, a test must not fail for it.
  const port = process.env.REPORT_LISTENING_ELSEWHERE ? 0 : options.port;
  return listen.call(this, { ...options, port }, ...rest);
};
