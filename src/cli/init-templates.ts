/** What `sync-coordinator init` writes. A test starts every combination of it. */

import type { FirstHook } from './init-flags.ts';

export type AuthMode = 'none' | 'token-whitelist' | 'custom';

export interface InitAnswers {
  authMode: AuthMode;
  dataDir: string;
  hook: FirstHook;
}

export const CONFIG_NAME = 'sync-coordinator.config.ts';

/** By name, relative to the directory. */
export function filesFor(answers: InitAnswers & { token: string }): Record<string, string> {
  const { authMode, hook } = answers;
  const [name, text] = HOOK_FILES[hook];
  return {
    [CONFIG_NAME]: configText(answers, name),
    [`hooks/${name}.ts`]: text,
    ...(authMode === 'custom' ? { 'hooks/auth.ts': AUTH_HOOK } : {}),
  };
}

function configText(
  { authMode, dataDir, token }: InitAnswers & { token: string },
  hook: string,
): string {
  const modules = authMode === 'custom' ? ['auth', hook] : [hook];
  const entries = modules.map((module) => `'./hooks/${module}.ts'`).join(', ');
  return `import { defineConfig } from 'sync-coordinator';

export default defineConfig({
  dataDir: ${toLiteral(dataDir)},
${AUTH_LINES[authMode](token)}
  hooks: [${entries}],
});
`;
}

const AUTH_LINES: Record<AuthMode, (token: string) => string> = {
  none: () =>
    "  // Everybody who reaches the port may read and write everything.\n  auth: { mode: 'none' },",
  custom: () => "  // Who may connect is for hooks/auth.ts to say.\n  auth: { mode: 'custom' },",
  'token-whitelist': (token) =>
    `  // A first token, to try it out. Where it counts, set SYNC_AUTH_TOKENS, which wins over this.
  auth: { mode: 'token-whitelist', tokens: ['${token}'] },`,
};

const LOG_HOOK = `import { defineHooks } from 'sync-coordinator';

/** Tells who changed what. */
export default defineHooks({
  name: 'log-changes',
  hooks: {
    onAfterApplyChanges(client, changeSets, result) {
      const tables = new Set(changeSets.flatMap(({ changes }) => changes.map(({ table }) => table)));
      const who = client.userId ?? 'somebody';
      console.log(\`\${who} changed \${[...tables].join(', ')}: \${result.applied} applied\`);
    },
  },
});
`;

const RULE_HOOK = `import { defineHooks, judgeChanges } from 'sync-coordinator';

/** A task needs a title. */
export default defineHooks({
  name: 'rules',
  hooks: {
    onBeforeApplyChanges: (_client, changeSets) =>
      judgeChanges(changeSets, (change) => {
        if (change.type !== 'column' || change.table !== 'tasks') return true;
        if (change.column !== 'title' || change.value) return true;
        return { reason: 'a task needs a title', code: 'UNTITLED' };
      }),
  },
});
`;

const FILTER_HOOK = `import { defineHooks, hideTables } from 'sync-coordinator';

/** Nobody is sent the table "secrets", whatever it is renamed to. */
export default defineHooks({
  name: 'filter',
  hooks: hideTables(['secrets']),
});
`;

const AUTH_HOOK = `import { defineHooks } from 'sync-coordinator';

/** Who may connect. Look the token up where your users are. */
export default defineHooks({
  name: 'auth',
  hooks: {
    onAuthenticate({ token, siteId }) {
      // Not of a kind that this module knows: perhaps the next one does.
      if (token === undefined || siteId === undefined) return undefined;
      throw new Error('hooks/auth.ts lets nobody in yet: return { siteId, userId } for a good token');
    },
  },
});
`;

const HOOK_FILES: Record<FirstHook, readonly [name: string, text: string]> = {
  log: ['log-changes', LOG_HOOK],
  rule: ['rules', RULE_HOOK],
  filter: ['filter', FILTER_HOOK],
};

function toLiteral(text: string): string {
  return /['\\\n]/.test(text) ? JSON.stringify(text) : `'${text}'`;
}
