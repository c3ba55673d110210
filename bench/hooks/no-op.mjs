/** Every hook, doing nothing: what it costs to be asked. */

export default {
  onAuthenticate: ({ siteId }) => ({ siteId }),
  onAuthenticated: () => undefined,
  onAuthorize: () => true,
  onBeforeApplyChanges: (_client, changes) => ({ approved: changes, rejected: [] }),
  onAfterApplyChanges: () => undefined,
  onBeforeSendChanges: (_client, changes) => changes,
  onClientConnect: () => true,
  onClientHandover: () => undefined,
  onClientDisconnect: () => undefined,
};
