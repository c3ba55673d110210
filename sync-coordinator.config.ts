import { defineConfig } from 'sync-coordinator';

// What `npm start` uses here. Every option is in docs/configuration.md;
// `npx sync-coordinator check` shows what comes of them.
export default defineConfig({
  port: 3000,
  dataDir: './.data',

  // Everybody may connect: for development. In production, for example:
  // auth: { mode: 'token-whitelist' }, and the tokens in SYNC_AUTH_TOKENS.
  auth: { mode: 'none' },

  // Files of your own that authenticate, authorise, validate or watch (docs/hooks.md).
  hooks: [
    // './examples/hooks/audit.ts',
  ],
});
