/** As its documentation starts it, on the port that the environment names: no extensions, no hooks. */

import { Server } from '@hocuspocus/server';

await new Server({ port: Number(process.env.PORT) }).listen();
