/** Hook modules of every shape, in every layout of a project: at the start and at each reload. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createDir } from '../config/temp-dir.ts';
import { createProject, LAYOUTS, type Report } from './module-layouts.ts';
import { startProcess } from './run-process.ts';

function reportsIn(output: string): Report[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{"id"'))
    .map((line) => JSON.parse(line));
}

describe('in a project with dependencies', () => {
  for (const layout of LAYOUTS) {
    test(`${layout}: all modules have this very package, and are anew after each reload`, async (t) => {
      const project = createProject(createDir(t), layout);
      const { directory, command, modules, laterModules, setVersion } = project;
      const configure = (hooks: string[]) =>
        writeFileSync(
          join(directory, 'sync-coordinator.json'),
          JSON.stringify({ host: '127.0.0.1', port: 0, storage: 'memory:', hooks }),
        );

      setVersion('first');
      configure(modules);
      const running = startProcess(t, [], { cwd: directory, command });
      await running.waitFor(/ws +ws:/);
      const check = (version: string, names: string[], output: string) => {
        const reports = reportsIn(output);
        const wrong = reports.filter((report) => report.version !== version || !report.isShared);
        assert.deepEqual(wrong, []);
        assert.equal(reports.length, names.length);
      };
      check('first', modules, running.output.stdout);

      for (const [i, version] of ['second', 'third'].entries()) {
        // What comes later stands in other folders, from which nothing has been imported yet.
        const names = version === 'third' ? [...laterModules, ...modules] : modules;
        setVersion(version);
        configure(names);
        const seen = running.output.stdout.length;
        running.child.kill('SIGHUP');
        await running.waitFor(new RegExp(`(loaded anew\\n[^]*){${i + 1}}`));
        check(version, names, running.output.stdout.slice(seen));
      }
      running.child.kill('SIGTERM');
      assert.equal(await running.ended, 0);
    });
  }
});
