/**
 * All of the conformance suite but what looks into one process, as `service.resync` does. To be
 * imported once it is known what it runs against.
 */

import '../conformance/captures.test.ts';
import '../conformance/corrections.test.ts';
import '../conformance/databases.test.ts';
import '../conformance/ddl.test.ts';
import '../conformance/drain.test.ts';
import '../conformance/filter.test.ts';
import '../conformance/merge.test.ts';
import '../conformance/positions.test.ts';
import '../conformance/snapshot.test.ts';
import '../conformance/values.test.ts';
import '../conformance/verdicts.test.ts';
import '../conformance/ws-apply-order.test.ts';
import '../conformance/ws-messages.test.ts';
import '../conformance/ws-push.test.ts';
