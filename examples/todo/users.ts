/** Who may come in: two users with tokens that everybody can read here, which is fine for a demo only. */

export const USERS = [
  { name: 'Anna', token: 'demo-anna' },
  { name: 'Ben', token: 'demo-ben' },
] as const;
