/** Every hook, doing nothing: what it costs to be asked. */

export default {
  onAuthenticate: ({ siteId }) => ({ siteId }),
  onAuthorize: () => true,
  onBeforeApplyChanges: (_client, changes) => ({ approved: changes, rejected: [] }),
  onAfterApplyChanges: () => undefined,
  onBeforeSendChanges: (_client, changes) => changes,
  onClientConnect: () => true,
  onClientDisconnect: () => undefined,
};
