/** As tinybase's README starts it, on the port that the environment names: no persister, no store. */

import { createWsServer } from 'tinybase/synchronizers/synchronizer-ws-server';
import { WebSocketServer } from 'ws';

createWsServer(new WebSocketServer({ port: Number(process.env.PORT) }));
