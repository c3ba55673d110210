/** A read filter that leaves everything: what it costs to ask it is what counts. */

export default { onBeforeSendChanges: async (_client, changeSets) => changeSets };
