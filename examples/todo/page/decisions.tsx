/** Writes that were rejected, or lost against newer ones: nothing that was typed vanishes without a word. */

import type { Outcome, OutcomeChange } from '@sync-coordinator/client';
import { useOutcomes } from '@sync-coordinator/client/react';
import type { MouseEvent } from 'react';
import { client, type Task } from './sync.ts';

export function Decisions() {
  const outcomes = useOutcomes();
  return (
    <section aria-label="To decide" aria-live="polite" className="decisions" tabIndex={-1}>
      {outcomes.map((outcome) => (
        <Decision key={outcome.id} outcome={outcome} />
      ))}
    </section>
  );
}

function Decision({ outcome }: { outcome: Outcome }) {
  const { state, reason, changes } = outcome;
  const isRejected = state === 'rejected';
  // The buttons go away; the focus stays in their place.
  const decide = (work: () => unknown) => (event: MouseEvent) => {
    event.currentTarget.closest('section')?.focus();
    work();
  };
  return (
    <article>
      <p>
        <strong>{isRejected ? 'The server refused this' : 'Somebody else was later'}</strong>{' '}
        {isRejected && reason}
      </p>
      <ul>
        {changes.map((change) => (
          <li key={JSON.stringify([change.table, change.pk, change.column])}>
            <Change change={change} />
          </li>
        ))}
      </ul>
      <button type="button" onClick={decide(outcome.restore)}>
        {isRejected ? 'Try again' : 'Use mine'}
      </button>
      <button type="button" onClick={decide(outcome.dismiss)}>
        {isRejected ? 'Let it be' : 'Keep theirs'}
      </button>
    </article>
  );
}

function Change({ change: { pk, column, value, winner } }: { change: OutcomeChange }) {
  const title = client.table<Task>('tasks').get(pk)?.title;
  if (column === undefined) return <>delete “{title}”</>;
  const theirs = winner !== undefined && 'value' in winner ? winner.value : undefined;
  return (
    <>
      {column}: <q>{String(value)}</q>
      {theirs !== undefined && (
        <>
          {' '}
          lost against <q>{String(theirs)}</q>
        </>
      )}
    </>
  );
}
