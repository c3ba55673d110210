/**
 * People come with JWTs of the identity provider, robots with a token from a list: what one module
 * does not know it passes on to the next. Use it as `sync-coordinator.config.ts`.
 */

import { defineConfig } from 'sync-coordinator';

export default defineConfig({
  // The list stands at the head of the chain. SYNC_AUTH_TOKENS wins over what is written here.
  auth: { mode: 'token-whitelist', tokens: ['a token for the nightly import'] },
  hooks: [
    [
      'sync-coordinator/hooks/jwt',
      {
        secret: process.env.JWT_SECRET ?? 'only for trying it out, never in production',
        audience: 'my-app',
        // Tokens name the devices that they are for, so nobody writes in another's name.
        siteClaim: 'sites',
        requiredClaims: ['exp'],
      },
    ],
    // People may be guests, who read only.
    ['sync-coordinator/hooks/read-only', { claim: { name: 'role', values: ['guest'] } }],
    // Tables are for administrators to change; rules about rows don't see what DDL does to them.
    ['sync-coordinator/hooks/ddl', { allow: [{ claim: { name: 'role', values: ['admin'] } }] }],
  ],
});
