import type { ServicePolicy } from '../config/protocol.js';
import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { compareRights, type Difference } from './held-rights.js';
import { accountsOf } from './rights.js';
import { loadRights } from './upstream-rights.js';

/** What was found about one account of a service. */
export type AccountFinding = { readonly service: string; readonly user: string } & (
  | ({ readonly ok: true } & Difference)
  | { readonly ok: false; readonly message: string }
);

/** Holds every account of the database services against what the policy wants of it, over a connection to each. */
export async function checkUpstreams(services: Iterable<ServicePolicy>): Promise<readonly AccountFinding[]> {
  const ours = [...services].filter((service) => service.protocol === 'postgres');
  const findings = ours.flatMap((service) =>
    accountsOf(service).map(async (account): Promise<AccountFinding> => {
      const of = { service: service.name, user: account.target.user };
      try {
        return { ...of, ok: true, ...compareRights(account, await loadRights(account.target)) };
      } catch (thrown) {
        return { ...of, ok: false, message: messageOf(thrown) };
      }
    }),
  );
  return Promise.all(findings);
}

/**
 * Says in the log how the accounts differ from the policy. Warnings only: what the policy names may be made later, and what
 * an account may beyond it is still behind the gateway's own walls.
 */
export async function warnOfUpstreams(services: Iterable<ServicePolicy>, log: Log): Promise<void> {
  for (const finding of await checkUpstreams(services)) {
    const { service, user } = finding;
    if (!finding.ok) {
      log.warn({ service, user, err: finding.message }, 'the upstream could not be asked what its account may do');
      continue;
    }
    const { exceeds, lacks } = finding;
    if (exceeds.length > 0)
      log.warn(
        { service, user, exceeds },
        'the upstream account may do more than the policy says: daypass service sql',
      );
    if (lacks.length > 0) log.warn({ service, user, lacks }, 'the upstream account may do less than the policy says');
  }
}
