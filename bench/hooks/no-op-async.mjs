/** Every hook, doing nothing, asynchronously: what it costs to be waited for. */

export default {
  onAuthenticate: async ({ siteId }) => ({ siteId }),
  onAuthenticated: async () => undefined,
  onAuthorize: async () => true,
  onBeforeApplyChanges: async (_client, changes) => ({ approved: changes, rejected: [] }),
  onAfterApplyChanges: async () => undefined,
  onBeforeSendChanges: async (_client, changes) => changes,
  onClientConnect: async () => true,
  onClientHandover: async () => undefined,
  onClientDisconnect: async () => undefined,
};
