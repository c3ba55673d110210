/**
 * Given to hook modules, which are loaded before the server is set up; `bind` connects it to the
 * service.
 */

import type { CoordinatorAccess } from '../hooks/coordinator-access.ts';
import type { CoordinatorService } from './coordinator-service.ts';

export class LateAccess implements CoordinatorAccess {
  #service: CoordinatorService | undefined;

  bind(service: CoordinatorService): void {
    this.#service = service;
  }

  get #bound(): CoordinatorService {
    if (this.#service !== undefined) return this.#service;
    throw new Error('the server is not set up yet: see onReady');
  }

  write: CoordinatorAccess['write'] = async (...args) => this.#bound.write(...args);
  resync: CoordinatorAccess['resync'] = async (...args) => this.#bound.resync(...args);
  revoke: CoordinatorAccess['revoke'] = (...args) => this.#bound.revoke(...args);
  reauthorize: CoordinatorAccess['reauthorize'] = async (...args) =>
    this.#bound.reauthorize(...args);
  clients: CoordinatorAccess['clients'] = () =>
    [...this.#bound.sessions].map(({ connectionId, identity: client, connectedAt, software }) => ({
      ...{ connectionId, client, connectedAtMs: connectedAt },
      ...(software && { software }),
    }));
}
